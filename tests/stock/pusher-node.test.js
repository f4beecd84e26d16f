// The `pusher` server SDK for node as it comes from npm: publishing, excluding, asking, ending
// connections.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, eachVersion, next, ownBackend, roundTrip, server, signedIn, subscribed } from './clients.js';
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

test('publishing answers an empty object', async () => {
  const event = { channel: 'answered', name: 'e', data: {} };
  for (const response of await Promise.all([sdk.trigger('answered', 'e', {}), sdk.triggerBatch([event]), sdk.sendToUser('u', 'e', {})])) {
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {});
  }
});

test('a publish tells the counts that were asked for, a batch in its order', async () => {
  await subscribed(await clients.connected(null, ownBackend(kabar, 'u')), 'presence-counted');
  await subscribed(await clients.connected(), 'plain');
  const response = await sdk.trigger(['presence-counted', 'plain'], 'e', {}, { info: 'user_count,subscription_count' });
  assert.deepEqual(await response.json(), {
    channels: { 'presence-counted': { user_count: 1, subscription_count: 1 }, plain: { subscription_count: 1 } },
  });
  const batch = await sdk.triggerBatch([
    { channel: 'plain', name: 'e', data: {}, info: 'subscription_count' },
    { channel: 'presence-counted', name: 'e', data: {}, info: 'user_count' },
    { channel: 'plain', name: 'e', data: {} },
  ]);
  assert.deepEqual(await batch.json(), { batch: [{ subscription_count: 1 }, { user_count: 1 }, {}] });
});

/** What a question is answered. */
const ask = async (path, params) => (await sdk.get({ path, params })).json();

test('a channel tells whether somebody is there', async () => {
  const counted = () => ask('/channels/asked', { info: 'subscription_count' });
  assert.equal((await counted()).occupied, false);
  await subscribed(await clients.connected(), 'asked');
  assert.deepEqual(await counted(), { occupied: true, subscription_count: 1 });
});

test('occupied channels are listed, by prefix and with their users', async () => {
  const client = await clients.connected(null, ownBackend(kabar, 'u1'));
  for (const name of ['presence-listed-1', 'presence-listed-2', 'listed']) await subscribed(client, name);
  assert.ok('listed' in (await ask('/channels')).channels);
  const { channels } = await ask('/channels', { filter_by_prefix: 'presence-listed-', info: 'user_count' });
  assert.deepEqual(channels, { 'presence-listed-1': { user_count: 1 }, 'presence-listed-2': { user_count: 1 } });
  await assert.rejects(ask('/channels', { info: 'user_count' }), ({ status }) => status === 400);
});

test('a presence channel names its users, each once', async () => {
  for (const id of ['u1', 'u2', 'u2']) await subscribed(await clients.connected(null, ownBackend(kabar, id)), 'presence-named');
  const { users } = await ask('/channels/presence-named/users');
  assert.deepEqual(users.map(({ id }) => id).sort(), ['u1', 'u2']);
  await assert.rejects(ask('/channels/named/users'), ({ status }) => status === 400);
});

test('a cache channel shows what it holds', async () => {
  await subscribed(await clients.connected(), 'cache-shown');
  const shown = () => ask('/channels/cache-shown', { info: 'cache' });
  assert.deepEqual(await shown(), { occupied: true, cache: null });
  await sdk.trigger('cache-shown', 'e', { n: 1 });
  const { cache } = await shown();
  assert.equal(cache.data, '{"n":1}');
  assert.ok(cache.ttl > 0 && cache.ttl <= 1800, `ttl ${cache.ttl}`);
});

eachVersion(({ Pusher }) => {
  let lineClients;
  before(() => { lineClients = new Clients(kabar, Pusher); });
  afterEach(() => lineClients.disconnect());

  test('a user whose connections are terminated is out and stays out; others stay', async () => {
    const user = async (id) => signedIn(await lineClients.connected(null, ownBackend(kabar, id)));
    const [one, two, other] = [await user('out'), await user('out'), await user('in')];
    const ended = [one, two].map(async ({ connection }) => {
      const refused = next(connection, 'error', ({ data }) => data?.code === 4009);
      await Promise.all([refused, next(connection, 'state_change', ({ current }) => current === 'disconnected')]);
    });
    const response = await sdk.terminateUserConnections('out');
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {});
    await Promise.all(ended);
    await roundTrip(other);
    assert.equal(other.connection.state, 'connected');
  });
});

test('a wrong secret, a broken body and too many channels are refused', async () => {
  const forged = server(kabar, { ...FIRST, secret: 'guessed' });
  await assert.rejects(forged.trigger('a', 'e', {}), ({ status }) => status === 401);
  await assert.rejects(sdk.trigger('a', 'e', 'x'.repeat(64 * 1024 + 1)), ({ status }) => status === 413);
  const unknown = server(kabar, { ...FIRST, id: '999' });
  await assert.rejects(unknown.trigger('a', 'e', {}), ({ status }) => status === 403);
});
