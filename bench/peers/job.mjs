// What both peers share: the job that bench/main.go hands over on standard input, and where files go.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

// readJob is {url, user, password, pos, pages, chromium, out}.
export const readJob = async () => JSON.parse(await text(process.stdin));

// keep writes one file of a PO.
export async function keep(job, po, name, data) {
  const folder = join(job.out, po);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), data);
}

// flags are what Chromium needs in a container; all else is the tool's own choice.
export const flags = ['--no-sandbox', '--disable-dev-shm-usage'];

// poURL is a PO's page.
export const poURL = (job, po) => `${job.url}/order_headers/${po.replace(/^\D+/, '')}`;

// The comments' files, once the page's script has put them there.
export const filled = '#s-mountCommentsApp > *';
export const links = '.commentAttachments a[href]';

// report is the last line that the benchmark reads.
export function report(started, failures) {
  for (const failure of failures) console.error(failure);
  console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, failed: failures.length }));
}
