//! Where a reader of server-sent events is: what its `id:` lines say, and what it says when it comes back.
//!
//! `CHANNEL:EPOCH:OFFSET` for each channel, with spaces between: names hold neither colon nor space.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use protocol::{Channel, Position};
use serde::Deserialize;
use serde_json::{Value, json};

/// An id goes out with every event and comes back in a header: readers of more channels than this get none.
const CHANNELS_MAX: usize = 32;

/// The position of each channel of a stream, as far as its reader has got.
#[derive(Default)]
pub(super) struct Positions {
    channels: BTreeMap<String, Option<Position>>,
}

impl Positions {
    /// Those of the named channels in an id of before; what is no id is as good as none.
    pub(super) fn new<'c>(channels: impl Iterator<Item = &'c str>, last_id: &str) -> Self {
        let before: BTreeMap<&str, Position> = last_id.split(' ').filter_map(parse).collect();
        let channels = channels.map(|channel| (channel.to_owned(), before.get(channel).copied()));
        let channels: BTreeMap<_, _> = channels.take(CHANNELS_MAX + 1).collect();
        if channels.len() > CHANNELS_MAX { Self::default() } else { Self { channels } }
    }

    /// What to ask for when subscribing to the channel.
    pub(super) fn recover(&self, channel: &str) -> Option<Value> {
        self.channels.get(channel).map(|position| match position {
            Some(Position { epoch, offset }) => json!({ "epoch": epoch, "offset": offset }),
            None => json!(true),
        })
    }

    /// Follows a frame; the id that goes with it, if that has changed.
    pub(super) fn follow(&mut self, frame: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            #[serde(borrow)]
            event: Cow<'a, str>,
            #[serde(borrow)]
            channel: Cow<'a, str>,
            #[serde(borrow, default)]
            data: Cow<'a, str>,
            #[serde(default)]
            offset: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Told {
            #[serde(flatten)]
            position: Option<Position>,
            #[serde(default)]
            recovered: bool,
        }
        if self.channels.is_empty() {
            return None;
        }
        let frame: Frame<'_> = serde_json::from_str(frame).ok()?;
        let known = self.channels.get_mut(&*frame.channel)?;
        if frame.event == "kabar:position" {
            let told: Told = serde_json::from_str(&frame.data).ok()?;
            if told.recovered {
                // What was missed is still to come: the reader is where it was.
                return None;
            }
            *known = told.position;
        } else {
            known.as_mut()?.offset = frame.offset?;
        }
        Some(self.id())
    }

    fn id(&self) -> String {
        let mut id = String::new();
        for (channel, Position { epoch, offset }) in self.channels.iter().filter_map(|(name, at)| Some((name, (*at)?)))
        {
            let space = if id.is_empty() { "" } else { " " };
            write!(id, "{space}{channel}:{epoch}:{offset}").expect("a string takes everything");
        }
        id
    }
}

fn parse(text: &str) -> Option<(&str, Position)> {
    let mut parts = text.split(':');
    let (channel, epoch, offset) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let whole = parts.next().is_none() && Channel::parse(channel).is_ok();
    whole.then_some((channel, Position { epoch, offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: &str = "a:00000000000000ff:3 b:0000000000000001:9 x nonsense:1:2:3 c:ff:1";

    #[test]
    fn a_reader_says_where_it_was_and_learns_where_it_is() {
        let mut positions = Positions::new(["a", "c"].into_iter(), LAST);
        assert_eq!(positions.recover("a"), Some(json!({"epoch": "00000000000000ff", "offset": 3})));
        assert_eq!((positions.recover("c"), positions.recover("b")), (Some(json!(true)), None));
        let told = |channel: &str, recovered: &str| {
            let data = format!(r#"{{\"epoch\":\"0000000000000007\",\"offset\":5{recovered}}}"#);
            format!(r#"{{"event":"kabar:position","channel":"{channel}","data":"{data}"}}"#)
        };
        // Not before the missed ones have come.
        assert_eq!(positions.follow(&told("a", r#",\"recovered\":true"#)), None);
        let event = |offset: u64| format!(r#"{{"event":"n","channel":"a","data":"{{}}","offset":{offset}}}"#);
        assert_eq!(positions.follow(&event(4)).as_deref(), Some("a:00000000000000ff:4"));
        let both = "a:00000000000000ff:4 c:0000000000000007:5";
        assert_eq!(positions.follow(&told("c", "")).as_deref(), Some(both));
        assert_eq!(positions.follow(r#"{"event":"client-x","channel":"a","data":""}"#), None);
        assert_eq!(positions.follow(r#"{"event":"pusher:ping","data":{}}"#), None);
    }

    #[test]
    fn too_many_channels_have_no_id() {
        let names: Vec<String> = (0..33).map(|number| format!("c{number}")).collect();
        let positions = Positions::new(names.iter().map(String::as_str), "c1:00000000000000ff:3");
        assert_eq!(positions.recover("c1"), None);
    }
}
