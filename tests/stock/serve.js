// Runs a command with a kabar of its own, whose address, app and webhooks stand in the environment: serve.js COMMAND ARGS...

import { spawn } from 'node:child_process';
import { FIRST, Kabar } from './harness.js';
import { Receiver } from './receiver.js';

const receiver = await Receiver.start();
let kabar;
try {
  kabar = await Kabar.start({ webhook: receiver.url });
  const env = {
    ...process.env,
    KABAR_URL: kabar.url,
    KABAR_APP_ID: FIRST.id,
    KABAR_APP_KEY: FIRST.key,
    KABAR_APP_SECRET: FIRST.secret,
    KABAR_WEBHOOKS: receiver.url,
  };
  const [command, ...args] = process.argv.slice(2);
  const child = spawn(command, args, { env, stdio: 'inherit' });
  process.exitCode = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
} finally {
  await kabar?.stop();
  await receiver.stop();
}
