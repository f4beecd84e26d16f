// A real kabar for the tests: the built binary on ports of its own, with a private Postgres in a temporary folder.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const START_MS = 120_000;
const STOP_MS = 30_000;
const AWAIT_MS = 10_000;

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** Two tenants. SDKs insist on numeric app ids. */
export const FIRST = { id: '1001', key: 'first-key', secret: 'the-secret-of-the-first-app', apiKey: 'first-api-key-of-the-stock-tests' };
export const SECOND = { id: '1002', key: 'second-key', secret: 'the-secret-of-the-second-app', apiKey: 'second-api-key-of-the-stock-tests' };

/** A disabled app, and one that has room for a single socket. */
export const CLOSED = {
  id: '1003', key: 'closed-key', secret: 'the-secret-of-the-closed-app',
  apiKey: 'third-api-key-of-the-stock-tests',
  policy: 'enabled = false',
};
export const FULL = {
  id: '1004', key: 'full-key', secret: 'the-secret-of-the-full-app',
  apiKey: 'fourth-api-key-of-the-stock-tests',
  policy: 'connections_max = 1',
};

const appToml = (app) => `
[[apps]]
id = "${app.id}"
key = "${app.key}"
secret = "${app.secret}"
api_keys = ["${app.apiKey}"]
[apps.policy]
client_events = true
subscription_counts = true
${app.policy ?? ''}
`;

const webhookToml = (url) => `
[[apps.webhooks]]
url = "${url}"
`;

const configToml = (dataDir, webhook) => `
demo = false
${appToml(FIRST)}${webhook ? webhookToml(webhook) : ''}${[SECOND, CLOSED, FULL].map(appToml).join('')}
[server]
drain_seconds = 0

[database]
url = "embedded"
data_dir = "${dataDir}"

[auth]
jwt_secret = "a-secret-of-the-stock-tests-0123456789"

[webhooks]
allowed_hosts = ["127.0.0.1"]
leave_delay_ms = 50
`;

/** Rejects when `promise` has not settled in time. The timer is cleared, so nothing keeps the process alive. */
export async function within(promise, what, ms = AWAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A running kabar; `stop()` ends it and removes everything it wrote. */
export class Kabar {
  /** `webhook` is where the first app's webhooks go; without it nowhere. */
  static async start({ webhook } = {}) {
    const binary = process.env.KABAR_BIN ?? path.join(root, 'target/debug/kabar');
    if (!existsSync(binary)) throw new Error(`${binary} is missing: cargo build`);
    const folder = await mkdtemp(path.join(tmpdir(), 'kabar-stock-'));
    // As root, the private Postgres runs as another user, who has to get through to its own folder.
    await chmod(folder, 0o711);
    const file = path.join(folder, 'kabar.toml');
    await writeFile(file, configToml(path.join(folder, 'data'), webhook));
    const kabar = new Kabar(binary, folder);
    try {
      await kabar.spawn();
    } catch (error) {
      await kabar.stop();
      throw new Error(`${error.message}\n${kabar.log.join('')}`);
    }
    return kabar;
  }

  constructor(binary, folder) {
    this.binary = binary;
    this.folder = folder;
    this.log = [];
  }

  /** Starts the binary and waits until it serves. The first time on any ports, later on the same. */
  async spawn() {
    // Only what the program needs from this shell: a KABAR__… setting of the developer's must not decide a test.
    const env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      KABAR__SERVER__PUBLIC: this.url ? new URL(this.url).host : '127.0.0.1:0',
      KABAR__SERVER__INTERNAL: this.internalUrl ? new URL(this.internalUrl).host : '127.0.0.1:0',
    };
    const args = ['--config', path.join(this.folder, 'kabar.toml')];
    this.child = spawn(this.binary, args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (text) => this.log.push(String(text)));
    this.exited = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(signal ?? code)));
    [this.url, this.internalUrl] = await within(this.addresses(), 'kabar did not start', START_MS);
    await within(this.ready(), 'kabar did not become ready', START_MS);
  }

  /** Ends the process, SIGTERM for an orderly stop or SIGKILL for a crash, and starts another in its place. */
  async restart(signal) {
    this.child.kill(signal);
    await within(this.exited, `kabar did not end by ${signal}`, STOP_MS);
    await this.spawn();
  }

  /** The two lines that say where kabar listens: `listening on http://…` and `internal on http://…`, in that order. */
  addresses() {
    const found = [];
    const lines = createInterface({ input: this.child.stdout });
    return new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        this.log.push(`${line}\n`);
        const address = /(?:listening|internal) on (http:\/\/[0-9.:[\]a-f]+)/.exec(line);
        if (address) found.push(address[1]);
        if (found.length === 2) resolve(found);
      });
      this.exited.then((how) => reject(new Error(`kabar ended (${how}) before it listened`)));
    });
  }

  /** Until the database is there and migrated: kabar listens before that. */
  async ready() {
    while ((await fetch(`${this.internalUrl}/health/ready`)).status >= 300);
  }

  get host() {
    return new URL(this.url).hostname;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  async stop() {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    try {
      await within(this.exited, 'kabar did not stop', STOP_MS);
    } catch (error) {
      this.child?.kill('SIGKILL');
      throw error;
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  async call(method, url, { bearer, body, headers = {} } = {}) {
    const sent = { ...headers, ...(bearer && { authorization: `Bearer ${bearer}` }) };
    if (body !== undefined) sent['content-type'] = 'application/json';
    const response = await fetch(url, { method, headers: sent, body: JSON.stringify(body), signal: AbortSignal.timeout(AWAIT_MS) });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(`${method} ${url}: ${response.status} ${text}`), { status: response.status });
    return text === '' ? null : JSON.parse(text);
  }

  /** The public REST API as a user, whose token is `bearer`. */
  rest(method, path, bearer, body) {
    return this.call(method, this.url + path, { bearer, body });
  }

  /** The internal API as an app's backend. */
  internal(method, path, body, app = FIRST) {
    return this.call(method, this.internalUrl + path, { bearer: app.apiKey, body });
  }

  /** Makes a user known and mints a JWT for them. */
  async user(id, name, app = FIRST) {
    await this.internal('PUT', `/internal/users/${encodeURIComponent(id)}`, { name }, app);
    const { token } = await this.internal('POST', '/internal/tokens', { userId: id }, app);
    return { id, name, token };
  }
}
