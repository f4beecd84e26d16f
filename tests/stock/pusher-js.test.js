// pusher-js as it comes from npm: channels of every kind, presence and client events.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, eachVersion, next, ownBackend, roundTrip, server, subscribed } from './clients.js';
import { FIRST, Kabar, SECOND } from './harness.js';

let kabar, ada, bob;

before(async () => {
  kabar = await Kabar.start();
  ada = await kabar.user('ada', 'Ada');
  bob = await kabar.user('bob|x=1', 'Bob');
});
after(() => kabar?.stop());

eachVersion(({ Pusher, version }) => {
  let clients;
  before(() => { clients = new Clients(kabar, Pusher); });
  afterEach(() => clients.disconnect());

  test('a public channel delivers, and not after unsubscribing', async () => {
    const client = await clients.connected();
    assert.match(client.connection.socket_id, /^\d+\.\d+$/);
    const channel = await subscribed(client, 'news');
    const heard = next(channel, 'published');
    await server(kabar).trigger('news', 'published', { n: 1, text: 'héllo "kabar"' });
    assert.deepEqual((await heard).data, { n: 1, text: 'héllo "kabar"' });

    let late = 0;
    channel.bind('published', () => { late += 1; });
    client.unsubscribe('news');
    await roundTrip(client);
    await server(kabar).trigger('news', 'published', { n: 2 });
    await roundTrip(client);
    assert.equal(late, 0);
  });

  test('an app hears nothing of another app on the same channel name', async () => {
    const [first, second] = await Promise.all([clients.connected(), clients.connected(null, { app: SECOND })]);
    const channels = [await subscribed(first, 'news'), await subscribed(second, 'news')];
    let leaked = 0;
    channels[0].bind('secret', () => { leaked += 1; });
    const heard = next(channels[1], 'secret');
    await server(kabar, SECOND).trigger('news', 'secret', {});
    await heard;
    await roundTrip(first);
    assert.equal(leaked, 0);
  });

  test('private channels take the signature of the app, and of no other', async () => {
    const client = await clients.connected(null, ownBackend(kabar, 'u1'));
    await subscribed(client, 'private-orders');
    const forged = server(kabar, { ...FIRST, secret: 'guessed' });
    const intruder = await clients.connected(null, {
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, done) => done(null, forged.authorizeChannel(socketId, channelName)),
      },
    });
    await assert.rejects(subscribed(intruder, 'private-orders'), ({ refusal }) => refusal.type === 'AuthError' && refusal.status === 401);
    assert.equal(intruder.connection.state, 'connected', 'a refused subscription does not end the connection');
  });

  test('presence counts users, not tabs, and tells who came and went', async () => {
    const first = await clients.connected(null, ownBackend(kabar, 'u1'));
    const lobby = await subscribed(first, 'presence-lobby');
    assert.equal(lobby.members.count, 1);
    assert.equal(lobby.members.me.id, 'u1');

    const changes = [];
    lobby.bind('pusher:member_added', ({ id }) => changes.push(`+${id}`));
    lobby.bind('pusher:member_removed', ({ id }) => changes.push(`-${id}`));
    const joined = next(lobby, 'pusher:member_added');
    const second = await clients.connected(null, ownBackend(kabar, 'u2'));
    const theirs = await subscribed(second, 'presence-lobby');
    assert.deepEqual((await joined).data, { id: 'u2', info: { name: 'u2' } });
    assert.deepEqual(Object.keys(theirs.members.members).sort(), ['u1', 'u2']);

    const tab = await clients.connected(null, ownBackend(kabar, 'u2'));
    await subscribed(tab, 'presence-lobby');
    tab.unsubscribe('presence-lobby');
    await roundTrip(tab);
    const left = next(lobby, 'pusher:member_removed');
    second.disconnect();
    assert.equal((await left).data.id, 'u2');
    assert.deepEqual(changes, ['+u2', '-u2'], 'a second tab comes and goes in silence');
    assert.equal(lobby.members.count, 1);
  });

  test('client events reach the others with the proven user id, and not the sender', async () => {
    const one = await clients.connected(null, ownBackend(kabar, 'u1'));
    const two = await clients.connected(null, ownBackend(kabar, 'u2'));
    const [mine, theirs] = [await subscribed(one, 'presence-room'), await subscribed(two, 'presence-room')];
    let echoed = 0;
    mine.bind('client-nod', () => { echoed += 1; });
    const heard = next(theirs, 'client-nod');
    assert.ok(mine.trigger('client-nod', { deep: { n: [1, 2] } }));
    const { data, metadata } = await heard;
    assert.deepEqual(data, { deep: { n: [1, 2] } });
    assert.deepEqual(metadata, { user_id: 'u1' });
    await roundTrip(one);
    assert.equal(echoed, 0);
  });

  test('a client event on a public channel is refused and the connection stays', async () => {
    const client = await clients.connected();
    await subscribed(client, 'open');
    const refused = next(client.connection, 'error');
    client.send_event('client-shout', {}, 'open');
    assert.match((await refused).data.data.message, /./);
    await roundTrip(client);
  });

  test('more than ten client events in a second are answered with 4301 and the connection stays', async () => {
    const client = await clients.connected(null, ownBackend(kabar, 'u1'));
    const channel = await subscribed(client, 'private-flood');
    const limited = next(client.connection, 'error', ({ data }) => data?.code === 4301);
    for (let n = 0; n < 40; n += 1) channel.trigger('client-n', { n });
    await limited;
    await roundTrip(client);
  });

  test('kabar\'s own endpoint signs a user\'s own channel and nobody else\'s', async () => {
    const own = `private-user-bob=7Cx=3D1`;
    await subscribed(await clients.connected(bob), own);
    const refused = await subscribed(await clients.connected(ada), own).catch((error) => error);
    assert.equal(refused.refusal?.status, 403);
    const anonymous = await subscribed(await clients.connected(), own).catch((error) => error);
    assert.equal(anonymous.refusal?.status, 401);
  });

  test('a protected name without a prefix is never public', async () => {
    await assert.rejects(subscribed(await clients.connected(), 'user-ada'), ({ refusal }) => refusal.type === 'AuthError');
  });

  test('unsubscribing and subscribing again at once ends subscribed, once', async () => {
    const client = await clients.connected();
    let channel = await subscribed(client, 'flapping');
    for (let n = 0; n < 20; n += 1) {
      client.unsubscribe('flapping');
      channel = await subscribed(client, 'flapping');
    }
    let count = 0;
    channel.bind('published', () => { count += 1; });
    await server(kabar).trigger('flapping', 'published', {});
    await roundTrip(client);
    assert.equal(count, 1);

    // Cancelled before the answer: pusher-js unsubscribes when that comes.
    client.unsubscribe('flapping');
    const answered = next(client.connection, 'message', ({ event }) => event === 'pusher_internal:subscription_succeeded');
    client.subscribe('flapping').bind('published', () => { count += 1; });
    client.unsubscribe('flapping');
    await answered;
    await roundTrip(client);
    const state = await server(kabar).get({ path: '/channels/flapping' });
    assert.equal((await state.json()).occupied, false);
    assert.equal(count, 1);
  });

  test('an encrypted channel is opened by its subscribers and by nobody on the way', async () => {
    const key = { encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') };
    const client = await clients.connected(null, ownBackend(kabar, 'u1', key));
    const channel = await subscribed(client, 'private-encrypted-letters');
    const wire = next(client.connection, 'message', ({ event }) => event === 'sealed');
    const heard = next(channel, 'sealed');
    await server(kabar, FIRST, key).trigger('private-encrypted-letters', 'sealed', { text: 'rahasia' });
    assert.deepEqual((await heard).data, { text: 'rahasia' });
    assert.deepEqual(Object.keys((await wire).data.data).sort(), ['ciphertext', 'nonce']);
  });

  for (const prefix of ['cache-', 'private-cache-', 'private-encrypted-cache-', 'presence-cache-']) {
    test(`${prefix}: whoever comes late gets the last event, whoever comes first hears of a miss`, async () => {
      const name = `${prefix}${version}`;
      const key = { encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') };
      const first = await clients.connected(null, ownBackend(kabar, 'u1', key));
      const missed = next(first.subscribe(name), 'pusher:cache_miss');
      await missed;
      const sdk = server(kabar, FIRST, key);
      await sdk.trigger(name, 'price', { n: 1 });
      await sdk.trigger(name, 'price', { n: 2 });
      const second = await clients.connected(null, ownBackend(kabar, 'u2', key));
      const channel = second.subscribe(name);
      const seen = [];
      channel.bind('price', ({ n }) => seen.push(n));
      channel.bind('pusher:cache_miss', () => seen.push('miss'));
      await next(channel, 'price');
      await roundTrip(second);
      assert.deepEqual(seen, [2]);
    });
  }

  test('subscribers are told how many they are', async () => {
    const first = await clients.connected();
    const channel = first.subscribe('counted');
    await next(channel, 'pusher:subscription_count', ({ subscription_count: count }) => count === 1);
    const two = next(channel, 'pusher:subscription_count', ({ subscription_count: count }) => count === 2);
    const second = await clients.connected();
    await subscribed(second, 'counted');
    await two;
    assert.equal(channel.subscriptionCount, 2);
    const one = next(channel, 'pusher:subscription_count', ({ subscription_count: count }) => count === 1);
    second.disconnect();
    await one;
  });
});
