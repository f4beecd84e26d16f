// The demo page: a picker of people, then their chats. Everything a person wrote goes in as textContent.

import { Chat, people, signIn } from './chat.js';
import { locale, switchLanguage, t } from './strings.js';

const page = document.getElementById('page');
const announcer = document.getElementById('announcer');
let chat = null;
let everyone = [];
let view = {};

/** An element: properties, `on…` listeners, `aria-…`/`data-…` attributes, children as nodes or text. */
function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key.includes('-') || key === 'role' || key === 'for') element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  send: 'M3 11.5 21 3l-5 18-4.5-7.500z M11.5 13.5 21 3', back: 'M15 5l-7 7 7 7', plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18', leave: 'M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9', bubble: 'M4 5h16v11H11l-5 4v-4H4z',
  globe: 'M3 12h18M12 3a14 14 0 0 1 0 18M12 3a14 14 0 0 0 0 18M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18',
};
function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

function avatar(person, online) {
  const hue = [...person.id].reduce((sum, char) => (sum * 17 + char.codePointAt(0)) % 997, 0) % 6;
  const initials = person.name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? '').join('').toUpperCase();
  const dot = online === undefined ? null
    : el('span', { className: `dot ${online ? 'on' : ''}`, role: 'img', 'aria-label': online ? t().online : t().offline });
  return el('span', { className: `avatar hue${hue}` }, initials, dot);
}

const others = (room) => room.members.filter(({ id }) => id !== chat.me.id);
const roomName = (room) => room.title || others(room).map(({ name }) => name).join(', ') || chat.me.name;
const roomFace = (room) => (room.type === 'DIRECT' && others(room)[0]) || { id: room.id, name: roomName(room) };
const roomOnline = (room) => others(room).some(({ id }) => chat.isOnline(id));

function clock(iso) {
  return new Date(iso).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });
}
function day(iso) {
  const date = new Date(iso);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(iso).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return t().today;
  if (days === 1) return t().yesterday;
  return date.toLocaleDateString(locale(), { weekday: 'short', day: 'numeric', month: 'long' });
}

// ---- picker ----

async function showPicker(problem) {
  const list = el('div', { className: 'people' });
  const note = el('p', { className: 'problem', role: 'alert' }, problem ?? '');
  page.replaceChildren(el('main', { className: 'picker' },
    el('img', { src: '/assets/icon.svg', alt: '', width: 56, height: 56 }),
    el('h1', {}, 'kabar'), el('p', { className: 'tagline' }, t().tagline),
    el('section', { className: 'card', 'aria-labelledby': 'pick' },
      el('h2', { id: 'pick' }, t().pick), list, note, el('p', { className: 'hint' }, t().pickHint)),
    el('button', { className: 'quiet', onclick: () => { switchLanguage(); showPicker(); } }, icon('globe'), t().language)));
  try {
    everyone = (await people()).people;
  } catch {
    note.textContent = t().unavailable;
    setTimeout(() => { if (!chat && note.isConnected) showPicker(t().unavailable); }, 2000);
    return;
  }
  if (!window.Pusher) note.textContent = t().noPusher;
  list.replaceChildren(...everyone.map((person) => el('button', {
    className: 'person', disabled: !window.Pusher, onclick: () => enter(person.id),
  }, avatar(person), el('span', {}, person.name))));
}

async function enter(userId) {
  try {
    const session = await signIn(userId);
    sessionStorage.setItem('kabar.user', userId);
    chat = new Chat(session);
    buildShell();
    chat.addEventListener('change', ({ detail }) => changed(detail));
    changed('connection');
    await chat.loadRooms();
  } catch (error) {
    chat = null;
    showPicker(error.status === 503 ? t().unavailable : `${t().error}: ${error.message}`);
  }
}

function leave() {
  sessionStorage.removeItem('kabar.user');
  chat?.stop();
  chat = null;
  document.title = 'kabar';
  showPicker();
}

// ---- shell ----

function buildShell() {
  view = {
    list: el('ul', { className: 'rooms' }),
    state: el('span', { className: 'state', role: 'status' }),
    pane: el('main', { className: 'pane' }),
    search: el('input', { type: 'search', placeholder: t().search, 'aria-label': t().search, oninput: () => drawRooms() }),
  };
  view.shell = el('div', { className: 'shell' },
    el('nav', { className: 'side', 'aria-label': t().chats },
      el('header', { className: 'bar' }, avatar(chat.me),
        el('div', { className: 'who' }, el('strong', {}, chat.me.name), view.state),
        iconButton('globe', t().language, () => { switchLanguage(); rebuild(); }),
        iconButton('leave', t().leave, leave)),
      el('div', { className: 'tools' }, view.search,
        el('button', { className: 'new', onclick: showNewChat }, icon('plus'), t().newChat)),
      view.list),
    view.pane);
  page.replaceChildren(view.shell);
  drawPane();
}

function rebuild() {
  buildShell();
  changed('connection');
  drawRooms();
}

function iconButton(name, label, onclick) {
  return el('button', { className: 'icon', title: label, 'aria-label': label, onclick }, icon(name));
}

function changed(what) {
  if (!chat) return;
  if (what === 'connection') drawState();
  if (what === 'open') drawPane();
  if (what === 'arrived') announce(chat.arrival);
  if (['rooms', 'typing', 'arrived', 'open'].includes(what)) drawRooms();
  if (['rooms', 'connection', 'typing'].includes(what)) drawHead();
  if (['messages', 'arrived', 'rooms'].includes(what)) drawMessages(what === 'arrived' && chat.arrival.senderId === chat.me.id);
}

function announce(message) {
  if (message.senderId !== chat.me.id) announcer.textContent = `${t().from(message.sender.name)}: ${message.content}`;
}

function drawState() {
  const connected = chat.connection === 'connected';
  const lost = ['unavailable', 'failed', 'disconnected'].includes(chat.connection);
  view.state.className = `state ${connected ? 'ok' : lost ? 'bad' : 'busy'}`;
  view.state.textContent = connected ? t().connected : lost ? t().lost : t().connecting;
}

function drawRooms() {
  const wanted = view.search.value.trim().toLocaleLowerCase();
  const rooms = [...chat.rooms.values()].sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
  const unread = rooms.reduce((sum, room) => sum + room.unread, 0);
  document.title = unread ? `(${unread}) kabar` : 'kabar';
  const shown = rooms.filter((room) =>
    [roomName(room), ...room.members.map(({ name }) => name)].some((name) => name.toLocaleLowerCase().includes(wanted)));
  if (!shown.length) {
    view.list.replaceChildren(el('li', { className: 'none' }, rooms.length ? t().noMatch : t().noRooms));
    return;
  }
  const focused = document.activeElement?.dataset?.room;
  view.list.replaceChildren(...shown.map(drawRoom));
  if (focused) view.list.querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
}

function drawRoom(room) {
  const last = room.lastMessage;
  const typing = typists(room.id);
  const text = typing ? t().typing(typing)
    : last ? `${last.senderId === chat.me.id ? `${t().you}: ` : room.type === 'DIRECT' ? '' : `${last.sender.name}: `}${last.content}`
      : t().noMessages;
  const badge = room.unread
    ? el('span', { className: 'badge', 'aria-label': t().unread(room.unread) }, room.unread > 99 ? '99+' : String(room.unread)) : null;
  const open = room.id === chat.openRoom;
  return el('li', {}, el('button', {
    className: `room ${open ? 'open' : ''} ${room.unread ? 'unread' : ''}`, 'data-room': room.id,
    'aria-current': open ? 'true' : undefined, onclick: () => chat.open(room.id),
  },
  avatar(roomFace(room), room.type === 'DIRECT' ? roomOnline(room) : undefined),
  el('span', { className: 'about' },
    el('span', { className: 'line' }, el('strong', {}, roomName(room)), el('time', {}, last ? clock(last.createdAt) : '')),
    el('span', { className: 'line' }, el('span', { className: `last ${typing ? 'typing' : ''}` }, text), badge))));
}

const typists = (roomId) => [...(chat.typists.get(roomId)?.values() ?? [])].join(', ');

// ---- conversation ----

function drawPane() {
  view.shell.classList.toggle('opened', Boolean(chat.openRoom));
  if (!chat.rooms.has(chat.openRoom)) {
    view.messages = null;
    view.head = null;
    view.pane.replaceChildren(el('div', { className: 'empty' }, icon('bubble'), el('h2', {}, t().choose), el('p', {}, t().chooseHint)));
    return;
  }
  view.head = el('header', { className: 'bar' });
  view.messages = el('div', { className: 'messages', role: 'log', 'aria-live': 'off', tabIndex: 0, 'aria-label': t().chats });
  view.below = el('button', { className: 'below', hidden: true, onclick: () => toBottom() }, t().newBelow);
  view.messages.addEventListener('scroll', () => { if (atBottom()) view.below.hidden = true; });
  view.text = el('textarea', {
    rows: 1, placeholder: t().write, 'aria-label': t().write, maxLength: 4000,
    oninput: () => { grow(); chat.typing(view.text.value.trim() !== ''); },
    onkeydown: (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
      if (event.key === 'Escape') chat.open(null);
    },
  });
  view.pane.replaceChildren(view.head, view.messages, view.below, el('form', {
    className: 'compose', onsubmit: (event) => { event.preventDefault(); submit(); },
  }, view.text, el('button', { className: 'send', 'aria-label': t().send, title: t().send }, icon('send'))));
  drawHead();
  drawMessages(true);
  if (matchMedia('(hover: hover)').matches) view.text.focus();
}

function grow() {
  view.text.rows = Math.min(6, view.text.value.split('\n').length);
}

function submit() {
  const content = view.text.value.trim();
  if (!content) return;
  view.text.value = '';
  grow();
  chat.send(content);
  toBottom();
}

function drawHead() {
  const room = chat.rooms.get(chat.openRoom);
  if (!room) { if (view.head) drawPane(); return; }
  if (!view.head) { drawPane(); return; }
  const typing = typists(room.id);
  const online = others(room).filter(({ id }) => chat.isOnline(id)).length;
  const about = typing ? t().typing(typing)
    : room.type === 'DIRECT' ? (online ? t().online : t().offline)
      : `${t().members(room.members.length)} · ${t().onlineOf(online + 1)}`;
  view.head.replaceChildren(iconButton('back', t().back, () => chat.open(null)),
    avatar(roomFace(room), room.type === 'DIRECT' ? online > 0 : undefined),
    el('div', { className: 'who' }, el('strong', {}, roomName(room)), el('span', { className: typing ? 'typing' : '' }, about)));
  view.head.firstChild.classList.add('phone');
}

const atBottom = () => view.messages.scrollHeight - view.messages.scrollTop - view.messages.clientHeight < 60;
function toBottom() {
  view.messages.scrollTop = view.messages.scrollHeight;
  view.below.hidden = true;
}

function drawMessages(stick) {
  const room = chat.rooms.get(chat.openRoom);
  if (!view.messages || !room) return;
  const bottom = stick || atBottom() || !view.messages.childElementCount;
  const height = view.messages.scrollHeight - view.messages.scrollTop;
  const known = view.messages.dataset.last ?? '0';
  const list = chat.messages.get(room.id) ?? [];
  const read = Math.min(...others(room).map(({ lastReadSeq }) => lastReadSeq));
  const rows = [];
  if (chat.cursors.get(room.id)) {
    rows.push(el('button', { className: 'quiet older', onclick: () => chat.loadOlder(room.id) }, t().older));
  }
  let before = null;
  for (const message of list) {
    const newDay = !before || day(before.createdAt) !== day(message.createdAt);
    if (newDay) rows.push(el('div', { className: 'day' }, day(message.createdAt)));
    const first = newDay || before.senderId !== message.senderId;
    rows.push(drawMessage(room, message, first, read));
    before = message;
  }
  if (!list.length) rows.push(el('p', { className: 'none' }, t().noMessages));
  view.messages.replaceChildren(...rows);
  view.messages.dataset.last = String(before?.seq ?? known);
  if (bottom) toBottom();
  else {
    view.messages.scrollTop = view.messages.scrollHeight - height;
    if (before?.seq > Number(known)) view.below.hidden = false;
  }
}

function drawMessage(room, message, first, read) {
  const own = message.senderId === chat.me.id;
  const named = first && !own && room.type !== 'DIRECT';
  const state = message.state ?? (message.seq <= read ? 'read' : 'sent');
  const mark = { sending: '…', failed: '!', sent: '✓', read: '✓✓' }[state];
  return el('div', { className: `message ${own ? 'own' : ''} ${first ? 'first' : ''}` },
    !own && room.type !== 'DIRECT' ? (first ? avatar(message.sender) : el('span', { className: 'avatar gap' })) : null,
    el('div', { className: `bubble ${state}` },
      named ? el('span', { className: 'sender' }, message.sender.name) : null,
      el('span', { className: 'text' }, message.content),
      el('span', { className: 'meta' }, el('time', {}, clock(message.createdAt)),
        own ? el('span', { className: `mark ${state}`, role: 'img', 'aria-label': t()[state], title: t()[state] }, mark) : null),
      state === 'failed' ? el('button', { className: 'quiet', onclick: () => chat.retry(message) }, t().retry) : null));
}

// ---- new chat ----

function showNewChat() {
  const dialog = el('dialog', { 'aria-labelledby': 'newChat', onclose: () => dialog.remove() });
  const start = async (person) => {
    dialog.close();
    await chat.startDirect(person.id).catch((error) => { announcer.textContent = error.message; });
  };
  dialog.append(
    el('header', {}, el('h2', { id: 'newChat' }, t().newChatWith), iconButton('close', t().close, () => dialog.close())),
    el('div', { className: 'people' }, ...everyone.filter(({ id }) => id !== chat.me.id).map((person) =>
      el('button', { className: 'person', onclick: () => start(person) }, avatar(person, chat.isOnline(person.id)), el('span', {}, person.name)))));
  document.body.append(dialog);
  dialog.showModal();
}

// ---- start ----

addEventListener('focus', () => chat?.markRead());
document.addEventListener('visibilitychange', () => chat?.markRead());

const known = sessionStorage.getItem('kabar.user');
await showPicker();
if (known && window.Pusher && everyone.some(({ id }) => id === known)) await enter(known);
