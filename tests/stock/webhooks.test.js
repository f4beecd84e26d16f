// Webhooks as the node SDK takes them: signed over the exact bytes, of the one content type that it allows.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, next, ownBackend, server, subscribed } from './clients.js';
import { FIRST, Kabar, SECOND } from './harness.js';
import { Receiver } from './receiver.js';

let kabar, clients, receiver, sdk;

before(async () => {
  receiver = await Receiver.start();
  kabar = await Kabar.start({ webhook: receiver.url });
  clients = new Clients(kabar);
  sdk = server(kabar);
});
afterEach(() => clients.disconnect());
after(async () => {
  await kabar?.stop();
  await receiver?.stop();
});

/** The event as the SDK hands it out, once it has taken the request for the app's own. */
async function told(name, channel) {
  const webhook = sdk.webhook(await receiver.find(name, channel));
  assert.equal(webhook.isContentTypeValid(), true);
  assert.equal(webhook.isValid(), true);
  const age = Date.now() - webhook.getTime().getTime();
  assert.ok(Math.abs(age) < 60_000, `told ${age} ms ago`);
  return webhook.getEvents().find((event) => event.name === name);
}

test('a channel is told occupied and vacated', async () => {
  const client = await clients.connected();
  await subscribed(client, 'hooked');
  assert.deepEqual(await told('channel_occupied', 'hooked'), { name: 'channel_occupied', channel: 'hooked' });
  assert.deepEqual(await told('subscription_count', 'hooked'), { name: 'subscription_count', channel: 'hooked', subscription_count: 1 });
  client.unsubscribe('hooked');
  assert.deepEqual(await told('channel_vacated', 'hooked'), { name: 'channel_vacated', channel: 'hooked' });
});

test('members are told added and removed', async () => {
  const channel = 'presence-hooked';
  const client = await clients.connected(null, ownBackend(kabar, 'u1'));
  await subscribed(client, channel);
  assert.deepEqual(await told('member_added', channel), { name: 'member_added', channel, user_id: 'u1' });
  client.disconnect();
  assert.deepEqual(await told('member_removed', channel), { name: 'member_removed', channel, user_id: 'u1' });
});

test('a client event is told with its sender', async () => {
  const channel = 'presence-spoken';
  const client = await clients.connected(null, ownBackend(kabar, 'u1'));
  (await subscribed(client, channel)).trigger('client-said', { text: 'héllo "kabar" 😀' });
  const { data, ...event } = await told('client_event', channel);
  const sender = { socket_id: client.connection.socket_id, user_id: 'u1' };
  assert.deepEqual(event, { name: 'client_event', channel, event: 'client-said', ...sender });
  assert.deepEqual(JSON.parse(data), { text: 'héllo "kabar" 😀' });
});

test('a cache miss is told', async () => {
  const client = await clients.connected();
  await next(client.subscribe('cache-hooked'), 'pusher:cache_miss');
  assert.deepEqual(await told('cache_miss', 'cache-hooked'), { name: 'cache_miss', channel: 'cache-hooked' });
});

test('neither another secret nor another byte is taken', async () => {
  await subscribed(await clients.connected(), 'forged');
  const request = await receiver.find('channel_occupied', 'forged');
  assert.equal(sdk.webhook(request).isValid(), true);
  assert.equal(server(kabar, { ...FIRST, secret: 'guessed' }).webhook(request).isValid(), false);
  assert.equal(server(kabar, SECOND).webhook(request).isValid(), false);
  assert.equal(sdk.webhook({ ...request, rawBody: request.rawBody.replace('forged', 'forgex') }).isValid(), false);
  assert.equal(sdk.webhook({ ...request, rawBody: `${request.rawBody} ` }).isValid(), false);
});
