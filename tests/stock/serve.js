// Runs a command with a kabar of its own, whose address and app stand in the environment: serve.js COMMAND ARGS...

import { spawn } from 'node:child_process';
import { FIRST, Kabar } from './harness.js';

const kabar = await Kabar.start();
try {
  const env = {
    ...process.env,
    KABAR_URL: kabar.url,
    KABAR_APP_ID: FIRST.id,
    KABAR_APP_KEY: FIRST.key,
    KABAR_APP_SECRET: FIRST.secret,
  };
  const [command, ...args] = process.argv.slice(2);
  const child = spawn(command, args, { env, stdio: 'inherit' });
  process.exitCode = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
} finally {
  await kabar.stop();
}
