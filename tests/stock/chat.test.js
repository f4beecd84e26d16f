// A chat between two people with nothing but pusher-js and REST calls.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, next, roundTrip, subscribed } from './clients.js';
import { Kabar } from './harness.js';

let kabar, clients, ada, bob, eve;

before(async () => {
  kabar = await Kabar.start();
  clients = new Clients(kabar);
  [ada, bob, eve] = [await kabar.user('ada', 'Ada'), await kabar.user('bob', 'Bob'), await kabar.user('eve', 'Eve')];
});
afterEach(() => clients.disconnect());
after(() => kabar?.stop());

const start = (user, body) => kabar.rest('POST', '/api/chat/start', user.token, body).then(({ room }) => room);
const send = (user, roomId, content, more) =>
  kabar.rest('POST', '/api/chat/send', user.token, { roomId, content, ...more }).then(({ message }) => message);

test('a message reaches both people under the name that each subscribed by', async () => {
  const room = await start(ada, { participantId: 'bob', type: 'DIRECT' });
  const mine = await subscribed(await clients.connected(ada), `private-chat-${room.id}`);
  const theirs = await subscribed(await clients.connected(bob), `presence-chat-${room.id}`);
  assert.equal(theirs.members.me.id, 'bob');
  const heard = [next(mine, 'new-message'), next(theirs, 'new-message')];
  const message = await send(ada, room.id, 'halo');
  for (const { data } of await Promise.all(heard)) assert.deepEqual(data, message);
  assert.equal(message.seq, 1);
  assert.equal(message.sender.name, 'Ada');
});

test('the same clientId is one message, announced once', async () => {
  const room = await start(ada, { participantId: 'eve', type: 'DIRECT' });
  const client = await clients.connected(ada);
  const channel = await subscribed(client, `private-chat-${room.id}`);
  let announced = 0;
  channel.bind('new-message', () => { announced += 1; });
  const first = await send(ada, room.id, 'sekali', { clientId: 'c-1' });
  const again = await send(ada, room.id, 'sekali', { clientId: 'c-1' });
  assert.equal(again.id, first.id);
  await roundTrip(client);
  assert.equal(announced, 1);
});

test('typing is shown and ends by itself', async () => {
  const room = await start(ada, { participantId: 'bob', type: 'DIRECT' });
  const channel = await subscribed(await clients.connected(bob), `private-chat-${room.id}`);
  const begins = next(channel, 'typing', ({ isTyping }) => isTyping);
  const ends = next(channel, 'typing', ({ isTyping }) => !isTyping);
  await kabar.rest('POST', '/api/chat/typing', ada.token, { roomId: room.id, isTyping: true });
  assert.deepEqual((await begins).data, { userId: 'ada', userName: 'Ada', isTyping: true });
  assert.deepEqual((await ends).data, { userId: 'ada', userName: 'Ada', isTyping: false });
});

test('reading moves the pointer and tells the room', async () => {
  const room = await start(bob, { participantId: 'eve', type: 'DIRECT' });
  const channel = await subscribed(await clients.connected(bob), `private-chat-${room.id}`);
  const message = await send(bob, room.id, 'baca ini');
  const heard = next(channel, 'message-read');
  const { unread } = await kabar.rest('POST', '/api/chat/read', eve.token, { roomId: room.id });
  assert.equal(unread, 0);
  const { data } = await heard;
  assert.deepEqual([data.userId, data.lastReadSeq], ['eve', message.seq]);
});

test('a stranger can neither subscribe nor read', async () => {
  const room = await start(ada, { participantId: 'bob', type: 'DIRECT' });
  const refused = await subscribed(await clients.connected(eve), `private-chat-${room.id}`).catch((error) => error);
  assert.equal(refused.refusal?.status, 403);
  await assert.rejects(kabar.rest('GET', `/api/chat/messages?roomId=${room.id}`, eve.token), ({ status }) => status === 404);
});

test('who is removed from a room hears nothing more of it', async () => {
  const room = await start(ada, { participantIds: ['bob', 'eve'], type: 'GROUP', title: 'Bertiga' });
  const client = await clients.connected(eve);
  const channel = await subscribed(client, `private-chat-${room.id}`);
  const stays = await subscribed(await clients.connected(bob), `private-chat-${room.id}`);
  let leaked = 0;
  channel.bind('new-message', () => { leaked += 1; });
  await kabar.internal('DELETE', `/internal/rooms/${room.id}/members/eve`);
  const heard = next(stays, 'new-message');
  await send(ada, room.id, 'tinggal berdua');
  await heard;
  await roundTrip(client);
  assert.equal(leaked, 0);
});
