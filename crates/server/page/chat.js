// The chat without its looks: REST, the socket, and what is known of rooms and messages.

const PAGE = 50;
const RETRIES = 5;

/** An answer that is not 2xx. */
class Refused extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? body?.message ?? `HTTP ${status}`);
    this.status = status;
  }
}

async function request(path, { token, method = 'GET', body } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers['Content-Type'] = 'application/json';
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' });
  const json = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, json);
  return json;
}

export const people = () => request('/demo/people');
export const signIn = (user) => request('/demo/sign-in', { method: 'POST', body: { user } });

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// randomUUID exists only on https and localhost.
const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');

/** Emits `change` with a detail that says what changed: rooms, messages, typing, connection, arrived. */
export class Chat extends EventTarget {
  rooms = new Map();
  messages = new Map(); // room id → messages by seq; those on their way have none
  cursors = new Map(); // room id → cursor of older messages, null at the beginning
  typists = new Map(); // room id → Map(user id → name)
  present = new Map(); // room id → Set of user ids
  connection = 'connecting';
  openRoom = null;
  #typingSince = 0;

  constructor(session) {
    super();
    this.session = session;
    this.me = session.user;
    const secure = location.protocol === 'https:';
    this.pusher = new window.Pusher(session.appKey, {
      cluster: '', wsHost: location.hostname, wsPort: location.port || 80, wssPort: location.port || 443,
      forceTLS: secure, enabledTransports: secure ? ['ws', 'wss'] : ['ws'],
      channelAuthorization: {
        endpoint: '/api/channels/auth', transport: 'ajax',
        headersProvider: () => ({ Authorization: `Bearer ${this.session.token}` }),
      },
    });
    this.pusher.connection.bind('state_change', ({ current }) => {
      this.connection = current;
      this.#changed('connection');
      if (current === 'connected') this.loadRooms();
    });
    const own = this.pusher.subscribe(`private-user-${this.me.id}`);
    own.bind('room-added', () => this.loadRooms());
    own.bind('room-removed', ({ roomId }) => this.#forget(roomId));
    own.bind('unread-count', () => this.loadRooms());
  }

  stop() {
    this.pusher.disconnect();
  }

  #changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }

  /** A call with the session's token; one that ran out is renewed once. */
  async #call(path, options = {}) {
    try {
      return await request(path, { token: this.session.token, ...options });
    } catch (error) {
      if (error.status !== 401) throw error;
      Object.assign(this.session, await signIn(this.me.id));
      return request(path, { token: this.session.token, ...options });
    }
  }

  async loadRooms() {
    const { rooms } = await this.#call('/api/chat/rooms?limit=50').catch(() => ({ rooms: [] }));
    for (const room of rooms) {
      this.rooms.set(room.id, room);
      if (!this.present.has(room.id)) this.#follow(room.id);
    }
    this.#changed('rooms');
  }

  #follow(roomId) {
    const present = new Set();
    this.present.set(roomId, present);
    const channel = this.pusher.subscribe(`presence-chat-${roomId}`);
    channel.bind('pusher:subscription_succeeded', (members) => {
      present.clear();
      members.each((member) => present.add(member.id));
      this.#changed('rooms');
      this.#catchUp(roomId);
    });
    channel.bind('pusher:member_added', ({ id }) => { present.add(id); this.#changed('rooms'); });
    channel.bind('pusher:member_removed', ({ id }) => { present.delete(id); this.#changed('rooms'); });
    channel.bind('new-message', (data) => this.#arrived(data.message ?? data));
    channel.bind('message-read', (receipt) => this.#receipt(roomId, receipt));
    channel.bind('typing', ({ userId, userName, isTyping }) => {
      const typists = this.typists.get(roomId) ?? new Map();
      if (isTyping && userId !== this.me.id) typists.set(userId, userName); else typists.delete(userId);
      this.typists.set(roomId, typists);
      this.#changed('typing');
    });
  }

  #forget(roomId) {
    this.pusher.unsubscribe(`presence-chat-${roomId}`);
    for (const map of [this.rooms, this.present, this.messages, this.typists, this.cursors]) map.delete(roomId);
    if (this.openRoom === roomId) this.openRoom = null;
    this.#changed('rooms');
  }

  /** Fetches what was missed. Only once the subscription holds: what is sent after that comes by itself. */
  async #catchUp(roomId) {
    const list = this.messages.get(roomId);
    if (!list) return;
    let last = Math.max(0, ...list.map((message) => message.seq ?? 0));
    for (;;) {
      const page = await this.#call(`/api/chat/messages?roomId=${roomId}&after=${last}&limit=100`).catch(() => null);
      if (!page?.messages.length) break;
      page.messages.forEach((message) => this.#put(message));
      last = page.messages.at(-1).seq;
    }
    this.#changed('messages');
    this.markRead();
  }

  #put(message) {
    const list = this.messages.get(message.roomId);
    if (!list) return false;
    const own = (other) => message.senderId === this.me.id && message.clientId && other.clientId === message.clientId;
    const index = list.findIndex((other) => other.id === message.id || own(other));
    if (index >= 0) list[index] = message; else list.push(message);
    list.sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity));
    return index < 0;
  }

  #arrived(message) {
    const room = this.rooms.get(message.roomId);
    this.#put(message);
    this.typists.get(message.roomId)?.delete(message.senderId);
    if (room && message.seq > room.lastSeq) {
      room.lastSeq = message.seq;
      room.lastMessage = message;
      room.updatedAt = message.createdAt;
      if (message.senderId !== this.me.id) room.unread += 1;
    }
    this.arrival = message;
    this.#changed('arrived');
    this.markRead();
  }

  #receipt(roomId, { userId, lastReadSeq }) {
    const member = this.rooms.get(roomId)?.members.find(({ id }) => id === userId);
    if (member) member.lastReadSeq = Math.max(member.lastReadSeq, lastReadSeq);
    if (userId === this.me.id) this.loadRooms();
    this.#changed('messages');
  }

  async open(roomId) {
    this.openRoom = roomId;
    this.#changed('open');
    if (roomId && !this.messages.has(roomId)) {
      this.messages.set(roomId, []);
      await this.loadOlder(roomId);
    }
    this.markRead();
  }

  async loadOlder(roomId) {
    const cursor = this.cursors.get(roomId);
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const page = await this.#call(`/api/chat/messages?roomId=${roomId}&limit=${PAGE}${more}`);
    page.messages.forEach((message) => this.#put(message));
    this.cursors.set(roomId, page.nextCursor ?? null);
    this.#changed('messages');
  }

  async markRead() {
    const room = this.rooms.get(this.openRoom);
    const me = room?.members.find(({ id }) => id === this.me.id);
    if (!room || document.hidden || !document.hasFocus() || (me?.lastReadSeq ?? 0) >= room.lastSeq) return;
    const upTo = room.lastSeq;
    if (me) me.lastReadSeq = upTo;
    room.unread = 0;
    this.#changed('rooms');
    await this.#call('/api/chat/read', { method: 'POST', body: { roomId: room.id, upTo } }).catch(() => {});
  }

  /** Tells that the user types, once in 2 s; `false` at once. */
  typing(isTyping) {
    const now = Date.now();
    if (!this.openRoom || (isTyping ? now - this.#typingSince < 2000 : !this.#typingSince)) return;
    this.#typingSince = isTyping ? now : 0;
    this.#call('/api/chat/typing', { method: 'POST', body: { roomId: this.openRoom, isTyping } }).catch(() => {});
  }

  /** Shows the message at once and sends it; a retry has the same clientId, so it is stored once. */
  send(content) {
    const draft = {
      roomId: this.openRoom, content, clientId: newId(), senderId: this.me.id, sender: this.me,
      createdAt: new Date().toISOString(), state: 'sending',
    };
    this.messages.get(draft.roomId)?.push(draft);
    this.typing(false);
    this.retry(draft);
  }

  async retry(draft) {
    draft.state = 'sending';
    this.#changed('messages');
    const { roomId, content, clientId } = draft;
    for (let attempt = 0; attempt < RETRIES; attempt += 1) {
      try {
        const { message } = await this.#call('/api/chat/send', { method: 'POST', body: { roomId, content, clientId } });
        this.#arrived(message);
        return;
      } catch (error) {
        // Only what may pass by itself is tried again: no network, too many requests, a server in trouble.
        if (error.status && error.status < 500 && error.status !== 429) break;
        await pause(500 * 2 ** attempt * (0.5 + Math.random()));
      }
    }
    draft.state = 'failed';
    this.#changed('messages');
  }

  async startDirect(participantId) {
    const body = { participantId, type: 'DIRECT' };
    const { room } = await this.#call('/api/chat/start', { method: 'POST', body });
    await this.loadRooms();
    await this.open(room.id);
  }

  isOnline(userId) {
    if (userId === this.me.id) return this.connection === 'connected';
    return [...this.present.values()].some((present) => present.has(userId));
  }
}
