// Laravel Echo over pusher-js, both as they come from npm, against kabar's own authorization endpoint.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import Echo2 from 'laravel-echo';
import Pusher8 from 'pusher-js';
import Pusher7 from 'pusher-js-7';
import { options, roundTrip, server } from './clients.js';
import { FIRST, Kabar, within } from './harness.js';

const require = createRequire(import.meta.url);
// Echo 1 has an ES module that node does not take for one; its other build is the same.
const { default: Echo1 } = require('laravel-echo-1');
const { devDependencies } = require('./package.json');
const version = (name) => devDependencies[name].split('@').at(-1);

/** Each Echo with the pusher-js of its time. */
const PAIRS = [
  { name: `Laravel Echo ${version('laravel-echo-1')}`, Echo: Echo1, Pusher: Pusher7 },
  { name: `Laravel Echo ${version('laravel-echo')}`, Echo: Echo2, Pusher: Pusher8 },
];

let kabar, ada, bob, room;

before(async () => {
  kabar = await Kabar.start();
  [ada, bob] = [await kabar.user('ada', 'Ada'), await kabar.user('bob', 'Bob')];
  ({ room } = await kabar.rest('POST', '/api/chat/start', ada.token, { participantId: 'bob', type: 'DIRECT' }));
});
after(() => kabar?.stop());

const once = (listen, what) => within(new Promise(listen), what);
const subscribed = (channel) => once((resolve, reject) => channel.subscribed(resolve).error(reject), 'subscribed');

for (const { name, Echo, Pusher } of PAIRS) {
  describe(name, () => {
    const open = [];
    afterEach(() => open.splice(0).forEach((echo) => echo.disconnect()));

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

    test('channel and listen hear a public event, and nothing after leave', async () => {
      const client = echo();
      const channel = client.channel('orders');
      await subscribed(channel);
      let count = 0;
      channel.listen('OrderShipped', () => { count += 1; });
      const heard = once((resolve) => channel.listen('OrderShipped', resolve), 'OrderShipped');
      await server(kabar).trigger('orders', 'OrderShipped', { id: 7 });
      assert.deepEqual(await heard, { id: 7 });

      client.leave('orders');
      await roundTrip(client.connector.pusher);
      await server(kabar).trigger('orders', 'OrderShipped', { id: 8 });
      await roundTrip(client.connector.pusher);
      assert.equal(count, 1);
    });

    test('private hears what is sent to the user, and errors for another', async () => {
      const channel = echo(ada).private('user-ada');
      await subscribed(channel);
      const heard = once((resolve) => channel.listen('ping', resolve), 'ping');
      await server(kabar).trigger('private-user-ada', 'ping', { n: 1 });
      assert.deepEqual(await heard, { n: 1 });
      await assert.rejects(subscribed(echo(bob).private('user-ada')), ({ status }) => status === 403);
    });

    test('private carries whispers, not to who whispers', async () => {
      const [mine, theirs] = [echo(ada), echo(bob)].map((client) => client.private(`chat-${room.id}`));
      await Promise.all([subscribed(mine), subscribed(theirs)]);
      let echoed = 0;
      theirs.listenForWhisper('typing', () => { echoed += 1; });
      const heard = once((resolve) => mine.listenForWhisper('typing', resolve), 'whisper');
      theirs.whisper('typing', { name: 'Bob' });
      assert.deepEqual(await heard, { name: 'Bob' });
      await roundTrip(theirs.pusher);
      assert.equal(echoed, 0);
    });

    test('join tells who is here, joining and leaving, and carries whispers', async () => {
      const mine = echo(ada).join(`chat-${room.id}`);
      const here = await once((resolve) => mine.here(resolve), 'here');
      assert.deepEqual(here.map((info) => info.name), ['Ada']);
      const joining = once((resolve) => mine.joining(resolve), 'joining');
      const other = echo(bob);
      const theirs = other.join(`chat-${room.id}`);
      const both = await once((resolve) => theirs.here(resolve), 'here');
      assert.deepEqual(both.map((info) => info.name).sort(), ['Ada', 'Bob']);
      assert.equal((await joining).name, 'Bob');

      const whispered = once((resolve) => mine.listenForWhisper('wave', resolve), 'whisper');
      theirs.whisper('wave', { hand: 'left' });
      assert.deepEqual(await whispered, { hand: 'left' });

      const leaving = once((resolve) => mine.leaving(resolve), 'leaving');
      other.leave(`chat-${room.id}`);
      assert.equal((await leaving).name, 'Bob');
    });
  });
}
