// Every text of the page, in Indonesian and English.

const TEXTS = {
  id: {
    tagline: 'Kabar seketika, di server Anda sendiri.',
    pick: 'Masuk sebagai', pickHint: 'Buka dua jendela sebagai dua orang, lalu mulai mengobrol.',
    chats: 'Percakapan', newChat: 'Chat Baru', newChatWith: 'Chat baru dengan', search: 'Cari nama…',
    choose: 'Pilih Percakapan', chooseHint: 'Pilih percakapan di samping, atau mulai yang baru.',
    noRooms: 'Belum ada percakapan', noMatch: 'Tidak ada yang cocok', noMessages: 'Belum ada pesan. Sapa dulu!',
    write: 'Tulis pesan…', send: 'Kirim', back: 'Kembali', leave: 'Keluar', close: 'Tutup',
    online: 'online', offline: 'offline', members: (n) => `${n} anggota`, onlineOf: (n) => `${n} online`,
    typing: (names) => `${names} sedang mengetik…`, you: 'Anda', today: 'Hari ini', yesterday: 'Kemarin',
    connecting: 'Menghubungkan…', connected: 'Terhubung', lost: 'Sambungan terputus, mencoba lagi…',
    sending: 'Mengirim', sent: 'Terkirim', read: 'Dibaca', failed: 'Gagal terkirim', retry: 'Coba lagi',
    older: 'Muat yang lebih lama', newBelow: 'Pesan baru', unread: (n) => `${n} belum dibaca`,
    from: (name) => `Pesan baru dari ${name}`, language: 'English', theme: 'Tema',
    noPusher: 'kabar ini dibangun tanpa pusher-js: jalankan `npm ci` di crates/server/page, lalu bangun lagi.',
    unavailable: 'Server belum siap. Coba lagi sebentar.', error: 'Ada yang salah',
  },
  en: {
    tagline: 'Realtime news, on a server of your own.',
    pick: 'Sign in as', pickHint: 'Open two windows as two people, and start talking.',
    chats: 'Chats', newChat: 'New Chat', newChatWith: 'New chat with', search: 'Search a name…',
    choose: 'Pick a conversation', chooseHint: 'Pick one from the list, or start a new one.',
    noRooms: 'No conversations yet', noMatch: 'Nobody matches', noMessages: 'No messages yet. Say hello!',
    write: 'Write a message…', send: 'Send', back: 'Back', leave: 'Sign out', close: 'Close',
    online: 'online', offline: 'offline', members: (n) => `${n} members`, onlineOf: (n) => `${n} online`,
    typing: (names) => `${names} is typing…`, you: 'You', today: 'Today', yesterday: 'Yesterday',
    connecting: 'Connecting…', connected: 'Connected', lost: 'Connection lost, trying again…',
    sending: 'Sending', sent: 'Sent', read: 'Read', failed: 'Not sent', retry: 'Try again',
    older: 'Load older messages', newBelow: 'New messages', unread: (n) => `${n} unread`,
    from: (name) => `New message from ${name}`, language: 'Bahasa Indonesia', theme: 'Theme',
    noPusher: 'This kabar was built without pusher-js: run `npm ci` in crates/server/page and build again.',
    unavailable: 'The server is not ready yet. Try again in a moment.', error: 'Something went wrong',
  },
};

let language = localStorage.getItem('kabar.language') ?? (navigator.language.startsWith('en') ? 'en' : 'id');

/** The texts of the language in use. */
export const t = () => TEXTS[language];
export const locale = () => (language === 'id' ? 'id-ID' : 'en-GB');

export function switchLanguage() {
  language = language === 'id' ? 'en' : 'id';
  localStorage.setItem('kabar.language', language);
  document.documentElement.lang = language;
}
document.documentElement.lang = language;
