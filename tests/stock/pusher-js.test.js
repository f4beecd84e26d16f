// pusher-js as it comes from npm: channels, presence, client events, sign-in, and what it does when it is refused.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, connected, next, roundTrip, server, subscribed } from './clients.js';
import { FIRST, Kabar, SECOND } from './harness.js';

let kabar, clients, ada, bob;

before(async () => {
  kabar = await Kabar.start();
  clients = new Clients(kabar);
  ada = await kabar.user('ada', 'Ada');
  bob = await kabar.user('bob|x=1', 'Bob');
});
afterEach(() => clients.disconnect());
after(() => kabar?.stop());

/** A client that authorizes as an app's own backend does: with the server SDK, for any channel. */
function ownBackend(userId, app = FIRST) {
  const sdk = server(kabar, app);
  return {
    app,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        const member = channelName.startsWith('presence-') ? { user_id: userId, user_info: { name: userId } } : undefined;
        done(null, sdk.authorizeChannel(socketId, channelName, member));
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => done(null, sdk.authenticateUser(socketId, { id: userId, user_info: { name: userId } })),
    },
  };
}

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
  const client = await clients.connected(null, ownBackend('u1'));
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
  const first = await clients.connected(null, ownBackend('u1'));
  const lobby = await subscribed(first, 'presence-lobby');
  assert.equal(lobby.members.count, 1);
  assert.equal(lobby.members.me.id, 'u1');

  const changes = [];
  lobby.bind('pusher:member_added', ({ id }) => changes.push(`+${id}`));
  lobby.bind('pusher:member_removed', ({ id }) => changes.push(`-${id}`));
  const joined = next(lobby, 'pusher:member_added');
  const second = await clients.connected(null, ownBackend('u2'));
  const theirs = await subscribed(second, 'presence-lobby');
  assert.deepEqual((await joined).data, { id: 'u2', info: { name: 'u2' } });
  assert.deepEqual(Object.keys(theirs.members.members).sort(), ['u1', 'u2']);

  const tab = await clients.connected(null, ownBackend('u2'));
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
  const one = await clients.connected(null, ownBackend('u1'));
  const two = await clients.connected(null, ownBackend('u2'));
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
  const client = await clients.connected(null, ownBackend('u1'));
  const channel = await subscribed(client, 'private-flood');
  const limited = next(client.connection, 'error', ({ data }) => data?.code === 4301);
  for (let n = 0; n < 40; n += 1) channel.trigger('client-n', { n });
  await limited;
  await roundTrip(client);
});

test('an unknown key is refused with 4001 and pusher-js stays away', async () => {
  const client = clients.pusher(null, { app: { ...FIRST, key: 'no-such-key' } });
  const states = [];
  client.connection.bind('state_change', ({ current }) => states.push(current));
  const refused = next(client.connection, 'error', ({ error }) => error?.data?.code === 4001);
  const settled = next(client.connection, 'state_change', ({ current }) => current === 'disconnected');
  await Promise.all([refused, settled]);
  assert.equal(states.includes('connected'), false);
  assert.equal(client.connection.state, 'disconnected');
});

test('a user signed by the app\'s own backend is signed in and gets what is sent to them', async () => {
  const client = clients.pusher(null, ownBackend('u9'));
  await connected(client);
  const ready = next(client.connection, 'message', ({ event, channel }) =>
    event === 'pusher_internal:subscription_succeeded' && channel === '#server-to-user-u9');
  client.signin();
  await ready;
  assert.equal(client.user.user_data.id, 'u9');
  const heard = next(client.user, 'hello');
  await server(kabar).sendToUser('u9', 'hello', { n: 1 });
  assert.deepEqual((await heard).data, { n: 1 });
});

test('kabar\'s own endpoint signs a user in from their token', async () => {
  const client = await clients.connected(ada);
  const ready = next(client.connection, 'message', ({ channel }) => channel === '#server-to-user-ada');
  client.signin();
  await ready;
  assert.equal(client.user.user_data.id, 'ada');
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
