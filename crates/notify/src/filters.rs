//! The filters of templates. What language and zone they write for stands in `reader`.

use chrono_tz::Tz;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};

use crate::Locale;
use crate::amount::{self, Decimal};
use crate::moment::{self, Moment};
use crate::text;

/// The largest float that still has every unit.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

pub(crate) fn add(env: &mut Environment<'static>) {
    env.add_filter("rupiah", |value: &Value| decimal(value).map(|amount| amount::rupiah(&amount)));
    env.add_filter("number", |state: &State, value: &Value| {
        Ok::<_, Error>(amount::number(&decimal(value)?, locale(state)))
    });
    env.add_filter("date", |state: &State, value: &Value| {
        Ok::<_, Error>(moment::date(moment(value)?, locale(state), zone(state)))
    });
    env.add_filter("datetime", |state: &State, value: &Value| {
        Ok::<_, Error>(moment::datetime(moment(value)?, locale(state), zone(state)))
    });
    env.add_filter("duration", |state: &State, value: &Value| {
        Ok::<_, Error>(moment::duration(whole(value)?, locale(state)))
    });
    env.add_filter("truncate", |value: &Value, chars_max: &Value| {
        let chars_max = usize::try_from(whole(chars_max)?).unwrap_or(usize::MAX);
        word(value).map(|word| text::truncate(&word, chars_max))
    });
    env.add_filter("plural", |count: &Value, one: &Value, many: &Value| {
        Ok::<_, Error>(if whole(count)? == 1 { one.clone() } else { many.clone() })
    });
    env.add_filter(
        "default",
        |value: &Value, other: &Value| {
            if value.is_undefined() { other.clone() } else { value.clone() }
        },
    );
    env.add_filter("length", |value: &Value| {
        value.len().ok_or_else(|| wrong("a list or text, to be counted", value)).map(|len| len as u64)
    });
    env.add_filter("upper", |value: &Value| word(value).map(|word| word.to_uppercase()));
    env.add_filter("lower", |value: &Value| word(value).map(|word| word.to_lowercase()));
    env.add_test("defined", |value: &Value| !value.is_undefined());
    env.add_test("undefined", |value: &Value| value.is_undefined());
}

fn wrong(wanted: &str, value: &Value) -> Error {
    if value.is_undefined() {
        return Error::from(ErrorKind::UndefinedError);
    }
    let shown =
        value.as_str().map_or_else(|| format!("{}", value.kind()), |text| format!("{:?}", text::truncate(text, 40)));
    Error::new(ErrorKind::InvalidOperation, format!("{shown} is not {wanted}"))
}

fn word(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        _ => Err(wrong("text", value)),
    }
}

fn whole(value: &Value) -> Result<u64, Error> {
    value.as_i64().and_then(|whole| u64::try_from(whole).ok()).ok_or_else(|| wrong("a whole number from 0 on", value))
}

fn decimal(value: &Value) -> Result<Decimal, Error> {
    let text = match value.kind() {
        ValueKind::String => value.as_str().map(str::to_owned),
        ValueKind::Number if value.is_integer() => Some(value.to_string()),
        ValueKind::Number => {
            f64::try_from(value.clone()).ok().filter(|float| float.abs() <= FLOAT_MAX).map(|float| float.to_string())
        }
        _ => None,
    };
    text.and_then(|text| Decimal::parse(&text))
        .ok_or_else(|| wrong("a number of up to 18 digits, such as 1250000.50", value))
}

fn moment(value: &Value) -> Result<Moment, Error> {
    let moment = value.as_str().and_then(Moment::parse);
    moment.ok_or_else(|| wrong("a time with its zone, such as 2026-11-23T14:30:00+07:00, or a date", value))
}

fn of_reader(state: &State, key: &str) -> Option<String> {
    state.lookup("reader")?.get_attr(key).ok()?.as_str().map(str::to_owned)
}

fn locale(state: &State) -> Locale {
    of_reader(state, "locale").and_then(|tag| Locale::of_tag(&tag)).unwrap_or(Locale::Id)
}

fn zone(state: &State) -> Tz {
    of_reader(state, "timeZone").and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}
