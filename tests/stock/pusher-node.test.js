// The `pusher` server SDK for node as it comes from npm: publishing, excluding, asking, ending connections.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, next, roundTrip, server, subscribed } from './clients.js';
import { FIRST, Kabar } from './harness.js';

let kabar, clients, sdk;

before(async () => {
  kabar = await Kabar.start();
  clients = new Clients(kabar);
  sdk = server(kabar);
});
afterEach(() => clients.disconnect());
after(() => kabar?.stop());

test('one trigger reaches many channels', async () => {
  const client = await clients.connected();
  const heard = [];
  for (const name of ['a', 'b', 'c']) heard.push(next(await subscribed(client, name), 'e'));
  const response = await sdk.trigger(['a', 'b', 'c'], 'e', { n: 1 });
  assert.equal(response.status, 200);
  for (const { data } of await Promise.all(heard)) assert.deepEqual(data, { n: 1 });
});

test('a batch arrives in its order', async () => {
  const client = await clients.connected();
  const channel = await subscribed(client, 'batched');
  const seen = [];
  channel.bind('n', ({ n }) => seen.push(n));
  const last = next(channel, 'n', ({ n }) => n === 9);
  await sdk.triggerBatch(Array.from({ length: 10 }, (_, n) => ({ channel: 'batched', name: 'n', data: { n } })));
  await last;
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('the socket that caused an event can be left out of it', async () => {
  const [one, two] = [await clients.connected(), await clients.connected()];
  let echoed = 0;
  (await subscribed(one, 'doc')).bind('saved', () => { echoed += 1; });
  const heard = next(await subscribed(two, 'doc'), 'saved');
  await sdk.trigger('doc', 'saved', {}, { socket_id: one.connection.socket_id });
  await heard;
  await roundTrip(one);
  assert.equal(echoed, 0);
});

test('a publish tells the counts that were asked for', async () => {
  const client = await clients.connected(null, {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => done(null, sdk.authorizeChannel(socketId, channelName, { user_id: 'u' })),
    },
  });
  await subscribed(client, 'presence-counted');
  const response = await sdk.trigger('presence-counted', 'e', {}, { info: 'user_count,subscription_count' });
  assert.deepEqual(await response.json(), { channels: { 'presence-counted': { user_count: 1, subscription_count: 1 } } });
});

test('a channel tells whether somebody is there', async () => {
  const ask = async () => (await sdk.get({ path: '/channels/asked', params: { info: 'subscription_count' } })).json();
  assert.equal((await ask()).occupied, false);
  await subscribed(await clients.connected(), 'asked');
  assert.deepEqual(await ask(), { occupied: true, subscription_count: 1 });
});

test('a wrong secret, a broken body and too many channels are refused', async () => {
  const forged = server(kabar, { ...FIRST, secret: 'guessed' });
  await assert.rejects(forged.trigger('a', 'e', {}), ({ status }) => status === 401);
  await assert.rejects(sdk.trigger('a', 'e', 'x'.repeat(64 * 1024 + 1)), ({ status }) => status === 413);
  const unknown = server(kabar, { ...FIRST, id: '999' });
  await assert.rejects(unknown.trigger('a', 'e', {}), ({ status }) => status === 403);
});
