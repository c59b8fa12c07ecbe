// The job by Playwright: some pages of one context, used again for PO after PO; files by clicks on their links.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { filled, flags, links, poURL, readJob, report } from './job.mjs';

const job = await readJob();
const started = performance.now();
const failures = [];
const browser = await chromium.launch({ executablePath: job.chromium, args: flags });
const context = await browser.newContext({ acceptDownloads: true });
context.setDefaultTimeout(120_000);

const first = await context.newPage();
await first.goto(`${job.url}/sessions/new`);
await first.fill('input[name="user[login]"]', job.user);
await first.fill('input[name="user[password]"]', job.password);
await Promise.all([first.waitForNavigation(), first.click('main [type="submit"]')]);
await first.close();

const queue = [...job.pos];
async function work() {
  const page = await context.newPage();
  for (let po = queue.shift(); po; po = queue.shift()) {
    try {
      await page.goto(poURL(job, po), { waitUntil: 'domcontentloaded' });
      await page.waitForSelector(filled);
      const folder = join(job.out, po);
      await mkdir(folder, { recursive: true });
      for (const link of await page.locator(links).all()) {
        const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
        await download.saveAs(join(folder, download.suggestedFilename()));
      }
    } catch (error) {
      failures.push(`${po}: ${error.message}`);
    }
  }
  await page.close();
}
await Promise.all(Array.from({ length: job.pages }, work));
await browser.close();
report(started, failures);
