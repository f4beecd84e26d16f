// How pusher-js takes the end of its connection: it comes back with its subscriptions, or, refused, stays away.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, eachVersion, next, ownBackend, server, subscribed } from './clients.js';
import { Gate } from './gate.js';
import { CLOSED, FIRST, FULL, Kabar } from './harness.js';

let kabar, gate;

before(async () => {
  kabar = await Kabar.start();
  gate = await Gate.start(kabar);
});
after(async () => {
  await gate?.stop();
  await kabar?.stop();
});

/** Once the channel's subscription is confirmed anew. */
const again = (channel) => next(channel, 'pusher:subscription_succeeded', () => true, 30_000);

eachVersion(({ Pusher }) => {
  let clients;
  before(() => { clients = new Clients(kabar, Pusher); });
  afterEach(() => clients.disconnect());

  for (const { how, signal, code } of [
    { how: 'the server stops with 4200', signal: 'SIGTERM', code: 4200 },
    { how: 'the server is killed', signal: 'SIGKILL', code: 1006 },
  ]) {
    test(`after ${how}, everything comes back with the next one`, async () => {
      const client = await clients.connected(null, { wsPort: gate.port, ...ownBackend(kabar, 'u1') });
      const names = ['news', 'private-orders', 'presence-lobby'];
      const channels = [];
      for (const name of names) channels.push(await subscribed(client, name));
      const old = client.connection.socket_id;
      const closed = next(client.connection, 'error', ({ data }) => data?.code === code);
      const back = channels.map(again);
      await Promise.all([gate.restart(signal), closed, ...back]);
      assert.notEqual(client.connection.socket_id, old);
      assert.equal(channels[2].members.count, 1);

      const heard = channels.map((channel) => next(channel, 'published'));
      await server(kabar).trigger(names, 'published', { n: 1 });
      for (const { data } of await Promise.all(heard)) assert.deepEqual(data, { n: 1 });
    });
  }

  for (const { what, app, code } of [
    { what: 'an unknown key', app: { ...FIRST, key: 'no-such-key' }, code: 4001 },
    { what: 'a disabled app', app: CLOSED, code: 4003 },
    { what: 'an app without room', app: FULL, code: 4004 },
  ]) {
    test(`${what} is refused with ${code} and pusher-js stays away`, async () => {
      if (app === FULL) await clients.connected(null, { app });
      const client = clients.pusher(null, { app });
      const states = [];
      client.connection.bind('state_change', ({ current }) => states.push(current));
      const refused = next(client.connection, 'error', ({ error }) => error?.data?.code === code);
      const settled = next(client.connection, 'state_change', ({ current }) => current === 'disconnected');
      await Promise.all([refused, settled]);
      // `disconnected` is final: pusher-js leaves it when asked to connect, never by itself.
      assert.deepEqual(states.filter((state) => state === 'connected'), []);
      assert.equal(client.connection.state, 'disconnected');
    });
  }
});
