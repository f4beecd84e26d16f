// The stock clients, pointed at a test's kabar, and ways to await what they hear.

import { createRequire } from 'node:module';
import { describe } from 'node:test';
import Pusher8 from 'pusher-js';
import Pusher7 from 'pusher-js-7';
import PusherServer from 'pusher';
import { FIRST, within } from './harness.js';

const require = createRequire(import.meta.url);

/** Every release line of pusher-js that is tested. For node, the plain package opens encrypted channels too. */
export const VERSIONS = Object.entries({ 'pusher-js-7': Pusher7, 'pusher-js': Pusher8 }).map(([name, Pusher]) => ({
  Pusher,
  version: require(`${name}/package.json`).version,
  web: require.resolve(`${name}/dist/web/pusher-with-encryption.js`),
}));

/** The same tests for each pusher-js; what fails is named with the version. */
export function eachVersion(tests) {
  for (const line of VERSIONS) describe(`pusher-js ${line.version}`, () => tests(line));
}

/** The options that any pusher-js user of a self-hosted hub sets, and none else. */
export function options(kabar, user) {
  const headers = user ? { authorization: `Bearer ${user.token}` } : {};
  return {
    cluster: '',
    wsHost: kabar.host,
    wsPort: kabar.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    channelAuthorization: { endpoint: `${kabar.url}/api/channels/auth`, transport: 'ajax', headers },
    userAuthentication: { endpoint: `${kabar.url}/api/channels/user-auth`, transport: 'ajax', headers },
  };
}

/** Keeps a test's clients, so that it can disconnect them whatever happens. */
export class Clients {
  constructor(kabar, Pusher = Pusher8) {
    this.kabar = kabar;
    this.Pusher = Pusher;
    this.open = [];
  }

  pusher(user, { app = FIRST, ...more } = {}) {
    const client = new this.Pusher(app.key, { ...options(this.kabar, user), ...more });
    this.open.push(client);
    return client;
  }

  async connected(user, more) {
    const client = this.pusher(user, more);
    await connected(client);
    return client;
  }

  disconnect() {
    for (const client of this.open.splice(0)) client.disconnect();
  }
}

/** The `pusher` server SDK for an app. */
export function server(kabar, app = FIRST, more = {}) {
  const { id: appId, key, secret } = app;
  return new PusherServer({ appId, key, secret, host: kabar.host, port: String(kabar.port), useTLS: false, ...more });
}

/** A client that authorizes as an app's own backend does: with the server SDK, for any channel and user. */
export function ownBackend(kabar, userId, { app = FIRST, watchlist, ...more } = {}) {
  const sdk = server(kabar, app, more);
  const user = { id: userId, user_info: { name: userId }, ...(watchlist && { watchlist }) };
  return {
    app,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        const member = channelName.startsWith('presence-') ? { user_id: userId, user_info: { name: userId } } : undefined;
        done(null, sdk.authorizeChannel(socketId, channelName, member));
      },
    },
    userAuthentication: { customHandler: ({ socketId }, done) => done(null, sdk.authenticateUser(socketId, user)) },
  };
}

/** The next event of that name on anything with pusher-js's `bind`. Ask before causing it. */
export function next(target, event, matches = () => true, ms = undefined) {
  let handler;
  const heard = new Promise((resolve) => {
    handler = (data, metadata) => {
      if (matches(data, metadata)) resolve({ data, metadata });
    };
    target.bind(event, handler);
  });
  return within(heard, `event ${event}`, ms).finally(() => target.unbind(event, handler));
}

/** Waits until the client is connected. */
export async function connected(client) {
  if (client.connection.state !== 'connected') await next(client.connection, 'connected');
}

/** Signs in and waits until what is sent to the user arrives here. */
export async function signedIn(client) {
  const ready = next(client.connection, 'message', ({ event, channel }) =>
    event === 'pusher_internal:subscription_succeeded' && channel?.startsWith('#server-to-user-'));
  client.signin();
  await ready;
  return client;
}

/** Subscribes and waits for the server's word; a refusal rejects, its data in `refusal`. */
export async function subscribed(client, name) {
  const channel = client.subscribe(name);
  if (channel.subscribed) return channel;
  const answer = new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', () => resolve(channel));
    channel.bind('pusher:subscription_error', (refusal) => {
      reject(Object.assign(new Error(`${name} refused: ${JSON.stringify(refusal)}`), { refusal }));
    });
  });
  return within(answer, `subscription of ${name}`);
}

/** Waits until the server has answered everything that this client sent before: frames of a socket go in order. */
export async function roundTrip(client) {
  const pong = next(client.connection, 'message', ({ event }) => event === 'pusher:pong');
  client.connection.send_event('pusher:ping', {});
  await pong;
}
