// Laravel Echo over pusher-js, both as they come from npm, against kabar's own authorization endpoint.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { options, server } from './clients.js';
import { FIRST, Kabar, within } from './harness.js';

let kabar, ada, bob, room;
const open = [];

before(async () => {
  kabar = await Kabar.start();
  [ada, bob] = [await kabar.user('ada', 'Ada'), await kabar.user('bob', 'Bob')];
  ({ room } = await kabar.rest('POST', '/api/chat/start', ada.token, { participantId: 'bob', type: 'DIRECT' }));
});
afterEach(() => open.splice(0).forEach((echo) => echo.disconnect()));
after(() => kabar?.stop());

function echo(user) {
  const { channelAuthorization, ...rest } = options(kabar, user);
  const client = new Echo({
    broadcaster: 'pusher',
    Pusher,
    key: FIRST.key,
    ...rest,
    authEndpoint: channelAuthorization.endpoint,
    auth: { headers: channelAuthorization.headers },
    namespace: false,
  });
  open.push(client);
  return client;
}

const subscribed = (channel) => within(new Promise((resolve, reject) => channel.subscribed(resolve).error(reject)), 'subscribed');

test('listen hears a public event', async () => {
  const channel = echo().channel('orders');
  await subscribed(channel);
  const heard = within(new Promise((resolve) => channel.listen('OrderShipped', resolve)), 'OrderShipped');
  await server(kabar).trigger('orders', 'OrderShipped', { id: 7 });
  assert.deepEqual(await heard, { id: 7 });
});

test('private hears what is sent to the user', async () => {
  const channel = echo(ada).private('user-ada');
  await subscribed(channel);
  const heard = within(new Promise((resolve) => channel.listen('ping', resolve)), 'ping');
  await server(kabar).trigger('private-user-ada', 'ping', { n: 1 });
  assert.deepEqual(await heard, { n: 1 });
});

test('join tells who is here, joining and leaving, and carries whispers', async () => {
  const mine = echo(ada).join(`chat-${room.id}`);
  const here = await within(new Promise((resolve) => mine.here(resolve)), 'here');
  assert.equal(here.length, 1);
  const joining = within(new Promise((resolve) => mine.joining(resolve)), 'joining');
  const other = echo(bob);
  const theirs = other.join(`chat-${room.id}`);
  await subscribed(theirs);
  await joining;

  const whispered = within(new Promise((resolve) => mine.listenForWhisper('wave', resolve)), 'whisper');
  theirs.whisper('wave', { hand: 'left' });
  assert.deepEqual(await whispered, { hand: 'left' });

  const leaving = within(new Promise((resolve) => mine.leaving(resolve)), 'leaving');
  other.leave(`chat-${room.id}`);
  await leaving;
});
