// A real Chromium, and a server for its pages that signs subscriptions as an app's backend does. Its origin is not
// kabar's, as that of few pages is.

import { readFile } from 'node:fs/promises';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { VERSIONS } from './clients.js';
import { within } from './harness.js';

/** The system's browser, or nothing. */
function executable() {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      try {
        accessSync(path.join(folder, name), constants.X_OK);
        return path.join(folder, name);
      } catch {}
    }
  }
  return null;
}

/** Why there can be no browser here, or false. */
export function missing() {
  if (Number(process.versions.node.split('.')[0]) < 20) return 'playwright-core needs node 20';
  return executable() ? false : 'there is no chromium here';
}

/** A page with a version of pusher-js. */
const html = (version) => '<!doctype html><html lang="en"><title>stock</title><link rel="icon" href="data:,">'
  + `<script src="/${version}.js"></script><script>`
  // What a test awaits in a page: the next event of anything with pusher-js's `bind`.
  + 'const next = (target, event) => new Promise((resolve) => target.bind(event, function heard(data) {'
  + ' target.unbind(event, heard); resolve(data); }));'
  + '</script>';

export class Browser {
  /** `sdk` signs what pages ask for. */
  static async start(sdk) {
    const browser = new Browser(sdk);
    await new Promise((resolve) => browser.server.listen(0, '127.0.0.1', resolve));
    // Imported late, since an older node cannot. Chromium's sandbox does not run as root.
    const { chromium } = await import('playwright-core');
    browser.chromium = await chromium.launch({ executablePath: executable(), chromiumSandbox: process.getuid() !== 0 });
    return browser;
  }

  constructor(sdk) {
    this.sdk = sdk;
    this.server = createServer((request, response) => this.serve(request, response));
  }

  get origin() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async serve(request, response) {
    const line = VERSIONS.find(({ version }) => request.url === `/${version}.js`);
    if (line) response.setHeader('content-type', 'text/javascript').end(await readFile(line.web));
    else if (request.url === '/auth') response.end(JSON.stringify(await this.authorize(request)));
    else response.setHeader('content-type', 'text/html').end(html(request.url.slice(1)));
  }

  async authorize(request) {
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    const [socket, channel, id] = ['socket_id', 'channel_name', 'user'].map((name) => form.get(name));
    return this.sdk.authorizeChannel(socket, channel, channel.startsWith('presence-') ? { user_id: id } : undefined);
  }

  /** A page with that pusher-js, in a profile of its own. What its console calls an error is in `errors`. */
  async page(version) {
    const context = await this.chromium.newContext();
    const page = await context.newPage();
    page.errors = [];
    page.on('console', (message) => { if (message.type() === 'error') page.errors.push(message.text()); });
    page.on('pageerror', (error) => page.errors.push(String(error)));
    await page.goto(`${this.origin}/${version}`);
    /** Runs `work` in the page, with `argument`, and takes what it returns. */
    page.run = async (work, argument) => {
      try {
        return await within(page.evaluate(work, argument), `${work.name || work} in a page`, 20_000);
      } catch (error) {
        throw new Error([error.message, ...page.errors].join('\n'));
      }
    };
    return page;
  }

  /** Closes every page. */
  async clear() {
    await Promise.all(this.chromium.contexts().map((context) => context.close()));
  }

  async stop() {
    await this.chromium?.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
