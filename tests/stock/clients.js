// The stock clients, pointed at a test's kabar, and ways to await what they hear.

import Pusher from 'pusher-js';
import PusherServer from 'pusher';
import { FIRST, within } from './harness.js';

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
  constructor(kabar) {
    this.kabar = kabar;
    this.open = [];
  }

  pusher(user, { app = FIRST, ...more } = {}) {
    const client = new Pusher(app.key, { ...options(this.kabar, user), ...more });
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

/** The next event of that name on anything with pusher-js's `bind`. Ask before causing it. */
export function next(target, event, matches = () => true) {
  let handler;
  const heard = new Promise((resolve) => {
    handler = (data, metadata) => {
      if (matches(data, metadata)) resolve({ data, metadata });
    };
    target.bind(event, handler);
  });
  return within(heard, `event ${event}`).finally(() => target.unbind(event, handler));
}

/** Waits until the client is connected. */
export async function connected(client) {
  if (client.connection.state !== 'connected') await next(client.connection, 'connected');
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
