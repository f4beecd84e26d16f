// pusher-js where no WebSocket gets through: the same over XHR, streaming and polling.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, eachVersion, next, ownBackend, roundTrip, server, subscribed } from './clients.js';
import { FIRST, Kabar, within } from './harness.js';

let kabar;

before(async () => { kabar = await Kabar.start(); });
after(() => kabar?.stop());

/** What a user sets who wants this transport and nothing else. */
const over = (transport, userId) => ({
  enabledTransports: [transport],
  httpHost: kabar.host,
  httpPort: kabar.port,
  ...ownBackend(kabar, userId),
});

eachVersion(({ Pusher }) => {
  let clients;
  before(() => { clients = new Clients(kabar, Pusher); });
  afterEach(() => clients.disconnect());

  for (const transport of ['xhr_streaming', 'xhr_polling']) {
    test(`${transport}: subscribes, receives, and not after unsubscribing`, async () => {
      const client = await clients.connected(null, over(transport));
      assert.equal(client.connection.connection.transport.name, transport);
      const channel = await subscribed(client, 'news');
      const heard = next(channel, 'published');
      await server(kabar).trigger('news', 'published', { n: 1, text: 'héllo\n"kabar" 😀' });
      assert.deepEqual((await heard).data, { n: 1, text: 'héllo\n"kabar" 😀' });

      let late = 0;
      channel.bind('published', () => { late += 1; });
      client.unsubscribe('news');
      await roundTrip(client);
      await server(kabar).trigger('news', 'published', { n: 2 });
      await roundTrip(client);
      assert.equal(late, 0);
    });

    test(`${transport}: client events and presence go both ways`, async () => {
      const first = await clients.connected(null, over(transport, 'u1'));
      const second = await clients.connected(null, { ...over(transport, 'u2'), enabledTransports: ['ws'] });
      const lobby = await subscribed(first, 'presence-lobby');
      const joined = next(lobby, 'pusher:member_added');
      const theirs = await subscribed(second, 'presence-lobby');
      assert.equal((await joined).data.id, 'u2');
      assert.equal(theirs.members.count, 2);

      const there = next(theirs, 'client-hello');
      lobby.trigger('client-hello', { from: 'u1' });
      assert.deepEqual((await there).metadata, { user_id: 'u1' });
      const here = next(lobby, 'client-hello');
      theirs.trigger('client-hello', { from: 'u2' });
      assert.deepEqual((await here).data, { from: 'u2' });
    });

    test(`${transport}: a megabyte comes whole and in order`, async () => {
      const client = await clients.connected(null, over(transport));
      const channel = await subscribed(client, 'bulk');
      const [count, seen, states] = [120, [], []];
      client.connection.bind('state_change', ({ current }) => states.push(current));
      const all = new Promise((resolve) => {
        channel.bind('part', ({ n }) => {
          seen.push(n);
          if (seen.length === count) resolve();
        });
      });
      for (let n = 0; n < count; n += 1) await server(kabar).trigger('bulk', 'part', { n, filler: 'x'.repeat(9_000) });
      await within(all, 'every part');
      assert.deepEqual(seen, Array.from({ length: count }, (_, n) => n));
      assert.deepEqual(states, [], 'the connection never ended');
    });

    test(`${transport}: an unknown key is told as over a WebSocket`, async () => {
      const client = clients.pusher(null, { ...over(transport), app: { ...FIRST, key: 'no-such-key' } });
      await next(client.connection, 'error', ({ error }) => error?.data?.code === 4001);
    });
  }
});
