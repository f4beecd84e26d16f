// pusher-js's build for browsers in a real Chromium, whose CORS and WebSockets are the real ones.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browser, missing } from './browser.js';
import { eachVersion, server } from './clients.js';
import { Gate } from './gate.js';
import { FIRST, Kabar } from './harness.js';

const skip = missing();
const KEY = { encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') };

let kabar, gate, sdk, browser;

before(async () => {
  if (skip) return;
  kabar = await Kabar.start();
  gate = await Gate.start(kabar);
  sdk = server(kabar, FIRST, KEY);
  browser = await Browser.start(sdk);
});
afterEach(() => browser?.clear());
after(async () => {
  await browser?.stop();
  await gate?.stop();
  await kabar?.stop();
});

/** What the page of a user connects with. */
const options = (transport, user) => ({
  key: FIRST.key,
  cluster: '',
  forceTLS: false,
  wsHost: '127.0.0.1',
  wsPort: gate.port,
  httpHost: '127.0.0.1',
  httpPort: gate.port,
  enabledTransports: [transport],
  channelAuthorization: { endpoint: '/auth', transport: 'ajax', params: { user } },
});

/** In a page: connects, subscribes to all the channels and answers who is in the last presence channel. */
async function join({ options: { key, ...rest }, channels }) {
  window.client = new Pusher(key, rest);
  for (const name of channels) {
    const channel = client.subscribe(name);
    await new Promise((resolve, reject) => {
      channel.bind('pusher:subscription_succeeded', resolve);
      channel.bind('pusher:subscription_error', (refusal) => reject(new Error(JSON.stringify(refusal))));
    });
  }
  return client.channels.all().flatMap(({ members }) => (members ? Object.keys(members.members).sort() : []));
}

/** In a page: waits for one event; `heard` is its promise, to be asked for after the event is caused. */
const listen = ([channel, event]) => { window.heard = next(client.channel(channel), event); };
const heard = () => window.heard;
const say = ([channel, event, data]) => client.channel(channel).trigger(event, data);

/** Both pages hear each other on a channel. */
async function converse(one, two, channel) {
  for (const [speaker, hearer] of [[one, two], [two, one]]) {
    await hearer.run(listen, [channel, 'client-hello']);
    assert.equal(await speaker.run(say, [channel, 'client-hello', { text: 'héllo' }]), true);
    assert.deepEqual(await hearer.run(heard), { text: 'héllo' });
  }
}

/** Every page hears what the backend publishes on each channel. */
async function publish(pages, channels) {
  for (const channel of channels) {
    for (const page of pages) await page.run(listen, [channel, 'published']);
    await sdk.trigger(channel, 'published', { channel });
    for (const page of pages) assert.deepEqual(await page.run(heard), { channel });
  }
}

eachVersion(({ version }) => {
  for (const transport of ['ws', 'xhr_streaming', 'xhr_polling']) {
    test(`${transport}: two pages talk, also after the server has restarted`, { skip }, async () => {
      // Names of their own: sessions over XHR outlive their pages for some seconds.
      const [orders, lobby, letters] = ['private-', 'presence-', 'private-encrypted-'].map((kind) => kind + transport + version);
      const channels = [orders, lobby, letters];
      const [one, two] = await Promise.all([browser.page(version), browser.page(version)]);
      assert.deepEqual(await one.run(join, { options: options(transport, 'u1'), channels }), ['u1']);
      await one.run(listen, [lobby, 'pusher:member_added']);
      assert.deepEqual(await two.run(join, { options: options(transport, 'u2'), channels }), ['u1', 'u2']);
      assert.equal((await one.run(heard)).id, 'u2');
      assert.equal(await one.run(() => client.connection.connection.transport.name), transport);
      await converse(one, two, orders);
      await converse(one, two, lobby);
      await publish([one, two], channels);
      assert.deepEqual([...one.errors, ...two.errors], []);

      for (const page of [one, two]) {
        await page.run((names) => {
          window.back = Promise.all(names.map((name) => next(client.channel(name), 'pusher:subscription_succeeded')));
        }, channels);
      }
      await gate.restart('SIGTERM');
      for (const page of [one, two]) await page.run(() => window.back);
      await converse(one, two, lobby);
      await publish([one, two], channels);
      // A request in flight dies with the server; nothing else may go wrong.
      const failures = [...one.errors, ...two.errors].filter((text) => !/net::ERR_|WebSocket connection to/.test(text));
      assert.deepEqual(failures, []);
    });
  }

  test('kabar\'s own endpoint lets both people into their room', { skip }, async () => {
    const [ada, bob] = [await kabar.user('ada', 'Ada'), await kabar.user('bob', 'Bob')];
    const { room } = await kabar.rest('POST', '/api/chat/start', ada.token, { participantId: 'bob', type: 'DIRECT' });
    const channel = `presence-chat-${room.id}`;
    const pages = [];
    for (const { id, token } of [ada, bob]) {
      const page = await browser.page(version);
      const headers = { authorization: `Bearer ${token}` };
      const endpoint = `${kabar.url}/api/channels/auth`;
      const own = { channelAuthorization: { endpoint, transport: 'ajax', headers } };
      await page.run(join, { options: { ...options('ws', id), ...own }, channels: [`private-user-${id}`, channel] });
      pages.push(page);
    }
    await converse(...pages, channel);
    for (const page of pages) await page.run(listen, [channel, 'new-message']);
    await kabar.rest('POST', '/api/chat/send', ada.token, { roomId: room.id, content: 'halo' });
    for (const page of pages) assert.equal((await page.run(heard)).content, 'halo');
    assert.deepEqual(pages.flatMap(({ errors }) => errors), []);
  });
});
