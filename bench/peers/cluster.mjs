// The job by puppeteer-cluster: a page for each PO, some at once, in one browser; files over HTTP with the session's cookies.
import puppeteer from 'puppeteer-core';
import { Cluster } from 'puppeteer-cluster';
import { filled, flags, keep, links, poURL, readJob, report } from './job.mjs';

const job = await readJob();
const started = performance.now();
const failures = [];
const cluster = await Cluster.launch({
  puppeteer,
  puppeteerOptions: { executablePath: job.chromium, headless: 'shell', args: flags },
  concurrency: Cluster.CONCURRENCY_PAGE,
  maxConcurrency: job.pages,
  timeout: 120_000,
});
cluster.on('taskerror', (error, po) => failures.push(`${po}: ${error.message}`));

const cookies = await cluster.execute(null, async ({ page }) => {
  await page.goto(`${job.url}/sessions/new`);
  await page.type('input[name="user[login]"]', job.user);
  await page.type('input[name="user[password]"]', job.password);
  await Promise.all([page.waitForNavigation(), page.click('main button[type="submit"], main input[type="submit"]')]);
  return (await page.browserContext().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
});

await cluster.task(async ({ page, data: po }) => {
  await page.goto(poURL(job, po), { waitUntil: 'domcontentloaded' });
  await page.waitForSelector(filled);
  const files = await page.$$eval(links, (all) => all.map((a) => ({ name: a.title, url: a.href })));
  await Promise.all(files.map(async ({ name, url }) => {
    const answer = await fetch(url, { headers: { cookie: cookies } });
    if (!answer.ok) throw new Error(`${name}: status ${answer.status}`);
    await keep(job, po, name, Buffer.from(await answer.arrayBuffer()));
  }));
});
for (const po of job.pos) cluster.queue(po);
await cluster.idle();
await cluster.close();
report(started, failures);
