//! Messages of a room are announced in the order of their `seq`, and so are the notifications of a user.
//!
//! Two sends commit one after the other, but the tasks that go on from there are not bound to that order. So a message
//! waits for those sends of its room that had begun before it was committed: only they can have a lower `seq`. Where
//! the one just before it was announced already, it waits for nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard};

/// Rooms do not wait for each other's lock more than this spreads them.
const SHARDS: usize = 16;

/// Sends under way, by room: by whatever has a `seq` of its own.
pub(crate) struct Order<K> {
    // Announcing happens under the lock, which is what makes one order of it; it never blocks.
    shards: [Mutex<HashMap<K, Room>>; SHARDS],
}

impl<K> Default for Order<K> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

#[derive(Default)]
struct Room {
    begun: u64,
    under_way: BTreeSet<u64>,
    waiting: BTreeMap<i64, Waiting>,
    announced: Option<i64>,
}

struct Waiting {
    /// Sends that began after this one could not come before it.
    begun: u64,
    announce: Box<dyn FnOnce() + Send>,
}

/// One send under way. Dropped without an announcement, it holds nobody up.
pub(crate) struct Turn<K: Clone + Eq + Hash> {
    order: Arc<Order<K>>,
    room: K,
    number: u64,
}

impl<K: Clone + Eq + Hash> Order<K> {
    /// Has to be called before the message is stored.
    pub(crate) fn begin(self: &Arc<Self>, room: K) -> Turn<K> {
        let mut rooms = self.lock(&room);
        let entry = rooms.entry(room.clone()).or_default();
        entry.begun += 1;
        entry.under_way.insert(entry.begun);
        let number = entry.begun;
        drop(rooms);
        Turn { order: Arc::clone(self), room, number }
    }

    fn lock(&self, room: &K) -> MutexGuard<'_, HashMap<K, Room>> {
        let shard = BuildHasherDefault::<DefaultHasher>::default().hash_one(room) as usize % SHARDS;
        self.shards[shard].lock().expect("nothing panics while a shard is locked")
    }
}

impl<K: Clone + Eq + Hash> Turn<K> {
    /// Announces the stored message as soon as nothing can come before it.
    pub(crate) fn announce(self, seq: i64, announce: impl FnOnce() + Send + 'static) {
        if let Some(room) = self.order.lock(&self.room).get_mut(&self.room) {
            room.waiting.insert(seq, Waiting { begun: room.begun, announce: Box::new(announce) });
        }
        // Dropping the turn lets it go out, with whatever it held up.
    }
}

impl<K: Clone + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut rooms = self.order.lock(&self.room);
        let Some(room) = rooms.get_mut(&self.room) else { return };
        room.under_way.remove(&self.number);
        while let Some(first) = room.waiting.first_entry() {
            let follows = room.announced.is_some_and(|seq| seq + 1 == *first.key());
            let alone = room.under_way.first().is_none_or(|number| *number > first.get().begun);
            if !follows && !alone {
                break;
            }
            room.announced = Some(*first.key());
            (first.remove().announce)();
        }
        if room.under_way.is_empty() && room.waiting.is_empty() {
            rooms.remove(&self.room);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::RoomId;

    use super::*;

    /// Sends that begin one after the other and are stored in the order of `stored` (their indices); gives the order
    /// in which they are announced.
    fn announced(sends: usize, stored: &[(usize, i64)]) -> Vec<i64> {
        let order = Arc::new(Order::default());
        let room = RoomId::mint();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut turns: Vec<_> = (0..sends).map(|_| Some(order.begin(room))).collect();
        for &(index, seq) in stored {
            let seen = Arc::clone(&seen);
            turns[index].take().unwrap().announce(seq, move || seen.lock().unwrap().push(seq));
        }
        drop(turns);
        assert!(order.lock(&room).is_empty());
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    #[test]
    fn whatever_the_order_of_return_messages_go_out_by_seq() {
        assert_eq!(announced(3, &[(2, 3), (0, 1), (1, 2)]), [1, 2, 3]);
        assert_eq!(announced(3, &[(1, 1), (2, 2), (0, 3)]), [1, 2, 3]);
    }

    #[test]
    fn a_send_that_fails_holds_nobody_up() {
        assert_eq!(announced(3, &[(2, 8), (0, 7)]), [7, 8]);
    }

    #[test]
    fn a_send_that_began_later_is_not_waited_for() {
        let order = Arc::new(Order::default());
        let room = RoomId::mint();
        let (sent, seen) = std::sync::mpsc::channel();
        let first = order.begin(room);
        first.announce(1, move || sent.send(1).unwrap());
        let _later = order.begin(room);
        assert_eq!(seen.try_recv(), Ok(1));
    }
}
