// Signed-in users of pusher-js: what is sent to them, whom they watch, and how an app's backend ends their connections.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Clients, connected, eachVersion, next, ownBackend, server, signedIn } from './clients.js';
import { FIRST, Kabar } from './harness.js';

let kabar, ada;

before(async () => {
  kabar = await Kabar.start();
  ada = await kabar.user('ada', 'Ada');
});
after(() => kabar?.stop());

eachVersion(({ Pusher, version }) => {
  let clients;
  before(() => { clients = new Clients(kabar, Pusher); });
  afterEach(() => clients.disconnect());

  const user = async (id, more) => signedIn(await clients.connected(null, ownBackend(kabar, id, more)));

  test('a user signed by the app\'s own backend is signed in and gets what is sent to them', async () => {
    const client = await user('u9');
    assert.equal(client.user.user_data.id, 'u9');
    const heard = next(client.user, 'hello');
    await server(kabar).sendToUser('u9', 'hello', { n: 1 });
    assert.deepEqual((await heard).data, { n: 1 });
  });

  test('every tab of the user gets it, and nobody else', async () => {
    const [one, two, other] = [await user('u1'), await user('u1'), await user('u2')];
    let leaked = 0;
    other.user.bind('note', () => { leaked += 1; });
    const heard = [next(one.user, 'note'), next(two.user, 'note')];
    const last = next(other.user, 'after');
    await server(kabar).sendToUser('u1', 'note', {});
    await Promise.all(heard);
    await server(kabar).sendToUser('u2', 'after', {});
    await last;
    assert.equal(leaked, 0);
  });

  test('a user signed by another secret stays a stranger', async () => {
    const forged = ownBackend(kabar, 'u1', { app: { ...FIRST, secret: 'guessed' } });
    const client = await clients.connected(null, forged);
    const refused = next(client.connection, 'error');
    client.signin();
    assert.match((await refused).data.data.message, /signature/i);
    assert.equal(client.connection.state, 'connected');
    assert.equal(client.user.user_data, null);
  });

  test('kabar\'s own endpoint signs a user in from their token', async () => {
    const client = await signedIn(await clients.connected(ada));
    assert.equal(client.user.user_data.id, 'ada');
  });

  test('a watchlist tells who is online, who comes and who goes', async () => {
    const id = (name) => `${name}-${version}`;
    const early = await user(id('early'));
    const client = clients.pusher(null, ownBackend(kabar, id('watcher'), { watchlist: [id('early'), id('late')] }));
    const told = [];
    for (const event of ['online', 'offline']) {
      client.user.watchlist.bind(event, ({ user_ids: ids }) => told.push([event, ...ids]));
    }
    await connected(client);
    const first = next(client.user.watchlist, 'offline');
    await signedIn(client);
    await first;
    assert.deepEqual(told.splice(0), [['online', id('early')], ['offline', id('late')]]);

    const comes = next(client.user.watchlist, 'online');
    await user(id('late'));
    await comes;
    const goes = next(client.user.watchlist, 'offline');
    early.disconnect();
    await goes;
    assert.deepEqual(told, [['online', id('late')], ['offline', id('early')]]);
  });
});
