//! What a subscriber gets of a channel's past, stitched from memory and journal.

use bytes::Bytes;
use protocol::frame::{self, Recover, Rewind, Subscribe};
use protocol::{Position, SocketId};

use crate::channel::ChannelState;
use crate::history::{History, Past};
use crate::websocket;

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Only what comes.
    Nothing,
    /// To be told where the channel is.
    Position,
    /// All after a position, less what was published with the exclusion of `own`.
    After { position: Position, own: Option<SocketId> },
    /// The newest.
    Newest(Rewind),
}

/// What the journal gave: every frame after `after` up to `through`, with its offset. `whole` is whether nothing of
/// what was asked for is missing before or between them.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) through: u64,
    pub(crate) whole: bool,
    pub(crate) frames: Vec<(u64, Bytes)>,
}

/// What is sent after `subscription_succeeded`.
#[derive(Default)]
pub(super) struct Given {
    pub(super) frames: Vec<Bytes>,
    pub(super) recovered: Option<bool>,
    /// Something of the past was asked for and given, whether or not it is all that was missed.
    pub(super) rewound: bool,
}

/// Memory does not know, and the journal was not asked yet (or too long ago).
#[derive(Debug)]
pub(super) struct Unloaded;

impl Resume {
    pub(crate) fn of(subscribe: &Subscribe<'_>) -> Self {
        match (subscribe.recover, subscribe.rewind) {
            (Some(Recover::After { epoch, offset, socket_id }), _) => {
                Self::After { position: Position { epoch, offset }, own: socket_id }
            }
            (_, Some(rewind)) => Self::Newest(rewind),
            (Some(Recover::Position(true)), None) => Self::Position,
            _ => Self::Nothing,
        }
    }
}

/// The past of a channel as it is at this moment.
pub(super) fn of(
    state: &ChannelState,
    name: &str,
    resume: &Resume,
    stored: Option<&Stored>,
    now: u32,
) -> Result<Given, Unloaded> {
    if *resume == Resume::Nothing {
        return Ok(Given::default());
    }
    let Some(history) = state.history.as_deref() else {
        let recovered = matches!(resume, Resume::After { .. }).then_some(false);
        return Ok(Given { frames: vec![told(name, None, recovered)], recovered, rewound: false });
    };
    let Some(top) = history.position() else { return Err(Unloaded) };
    let (frames, recovered) = match *resume {
        Resume::After { position, own } => match after(history, top, position, own, stored, now)? {
            Some(frames) => (frames, Some(true)),
            None => (Vec::new(), Some(false)),
        },
        Resume::Newest(rewind) => (newest(history, top, rewind, stored, now)?, None),
        Resume::Nothing | Resume::Position => (Vec::new(), None),
    };
    let rewound = recovered.is_none() && !frames.is_empty();
    let mut given = vec![told(name, Some(top), recovered)];
    given.extend(frames.iter().map(|(offset, frame)| websocket::numbered(frame, *offset)));
    Ok(Given { frames: given, recovered, rewound })
}

/// Frames with their offsets.
type Numbered = Vec<(u64, Bytes)>;

/// All after `from`, or `None` where that cannot be given.
fn after(
    history: &History,
    top: Position,
    from: Position,
    own: Option<SocketId>,
    stored: Option<&Stored>,
    now: u32,
) -> Result<Option<Numbered>, Unloaded> {
    if from.epoch != top.epoch || from.offset > top.offset {
        return Ok(None);
    }
    match history.after(from.offset, own, now) {
        Past::Whole(frames) => Ok(Some(frames)),
        Past::Gone if !history.is_durable() => Ok(None),
        Past::Gone => match stored {
            Some(stored) if !stored.whole => Ok(None),
            Some(stored) => stitch(history, top, stored, own, now).map(Some),
            None => Err(Unloaded),
        },
    }
}

fn newest(
    history: &History,
    top: Position,
    rewind: Rewind,
    stored: Option<&Stored>,
    now: u32,
) -> Result<Numbered, Unloaded> {
    match (history.newest(rewind, now), stored) {
        (Past::Whole(frames), _) => Ok(frames),
        (Past::Gone, Some(stored)) => {
            let mut frames = stitch(history, top, stored, None, now)?;
            let wanted = rewind.messages.map_or(usize::MAX, |messages| messages as usize);
            frames.drain(..frames.len().saturating_sub(wanted));
            Ok(frames)
        }
        (Past::Gone, None) => Err(Unloaded),
    }
}

/// What the journal gave, and from there on what memory has.
fn stitch(
    history: &History,
    top: Position,
    stored: &Stored,
    own: Option<SocketId>,
    now: u32,
) -> Result<Numbered, Unloaded> {
    // What the journal has stored and not yet published here comes to the subscriber live.
    let known = stored.frames.iter().filter(|(offset, _)| *offset <= top.offset);
    let mut frames: Numbered = known.cloned().collect();
    if stored.through < top.offset {
        match history.after(stored.through, own, now) {
            Past::Whole(rest) => frames.extend(rest),
            // So much was published meanwhile that memory has forgotten it already.
            Past::Gone => return Err(Unloaded),
        }
    }
    Ok(frames)
}

fn told(name: &str, position: Option<Position>, recovered: Option<bool>) -> Bytes {
    websocket::text_frame(&frame::position(name, position, recovered))
}
