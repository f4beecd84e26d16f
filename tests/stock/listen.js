// A pusher-js listener for tests in other languages: prints its socket id as JSON, reads the channel's auth from
// standard input, then prints "subscribed", each event, and the code that it is closed with. A channel
// `#server-to-user-…` is had by signing in with that auth. It gives up by itself, so no caller waits for ever.

import { createInterface } from 'node:readline';
import Pusher from 'pusher-js';

const DEADLINE_MS = 20_000;
const [name] = process.argv.slice(2);
const url = new URL(process.env.KABAR_URL);
const print = (value) => console.log(JSON.stringify(value));

let authorization;
const client = new Pusher(process.env.KABAR_APP_KEY, {
  cluster: '',
  wsHost: url.hostname,
  wsPort: Number(url.port),
  forceTLS: false,
  enabledTransports: ['ws'],
  channelAuthorization: { customHandler: (_, done) => done(null, authorization) },
  userAuthentication: { customHandler: (_, done) => done(null, authorization) },
});
client.connection.bind('error', ({ data }) => { if (data?.code >= 4000) print({ closed: data.code }); });
client.connection.bind('connected', () => print(client.connection.socket_id));

const input = createInterface({ input: process.stdin });
input.once('line', (line) => {
  authorization = JSON.parse(line);
  const ofUser = name.startsWith('#server-to-user-');
  if (ofUser) {
    client.connection.bind('message', ({ event, channel }) => {
      if (event === 'pusher_internal:subscription_succeeded' && channel === name) print('subscribed');
    });
    client.signin();
  }
  const target = ofUser ? client.user : client.subscribe(name);
  target.bind('pusher:subscription_succeeded', () => print('subscribed'));
  target.bind('pusher:subscription_error', (refusal) => print({ refusal }));
  target.bind_global((event, data) => {
    if (!event.startsWith('pusher:')) print({ event, data });
  });
});

const end = () => process.exit();
input.once('close', end);
process.once('SIGTERM', end);
setTimeout(end, DEADLINE_MS);
