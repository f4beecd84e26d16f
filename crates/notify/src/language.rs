//! What a template may say: values, filters, `if` and `for`. Read when the configuration is, never when it fires.
//!
//! The language is Jinja's, cut down to what texts need. There is no way to make a text longer than what it is given
//! (`+`, `~`, `*`, `set`), to switch escaping off, or to call anything; arithmetic is for the backend.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse, parse_expr};

/// The most bytes of a template.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 8 * 1024;

/// Filters, with how many arguments each takes.
const FILTERS: [(&str, usize); 11] = [
    ("date", 0),
    ("datetime", 0),
    ("default", 1),
    ("duration", 0),
    ("length", 0),
    ("lower", 0),
    ("number", 0),
    ("plural", 2),
    ("rupiah", 0),
    ("truncate", 1),
    ("upper", 0),
];
const TESTS: [&str; 2] = ["defined", "undefined"];

/// Why a template cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is too long.
    #[error("has {0} bytes, at most {TEMPLATE_BYTES_MAX} are taken")]
    TooLong(usize),
    /// It cannot be read.
    #[error("{0}")]
    Syntax(minijinja::Error),
    /// It says what texts may not.
    #[error("line {line}: {what} is not part of the template language")]
    NotAllowed {
        /// What it says.
        what: String,
        /// Where, from 1.
        line: u16,
    },
    /// It names a filter or a test that there is not.
    #[error("line {line}: there is no {what} {name:?}")]
    Unknown {
        /// `filter` or `test`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where, from 1.
        line: u16,
    },
    /// A filter has too few arguments or too many.
    #[error("line {line}: {name} takes {takes} arguments")]
    Arguments {
        /// The filter's name.
        name: String,
        /// How many it takes.
        takes: usize,
        /// Where, from 1.
        line: u16,
    },
}

/// Whether this is a template of the language.
pub(crate) fn check_template(source: &str) -> Result<(), TemplateError> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::TooLong(source.len()));
    }
    let template = parse(source, "template", Default::default()).map_err(TemplateError::Syntax)?;
    match template {
        Stmt::Template(template) => statements(&template.children),
        _ => Ok(()),
    }
}

/// Whether this is an expression of the language.
pub(crate) fn check_expression(source: &str) -> Result<(), TemplateError> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::TooLong(source.len()));
    }
    expression(&parse_expr(source).map_err(TemplateError::Syntax)?)
}

fn refuse<T>(what: &str, span: Span) -> Result<T, TemplateError> {
    Err(TemplateError::NotAllowed { what: what.to_owned(), line: span.start_line })
}

fn statements(body: &[Stmt<'_>]) -> Result<(), TemplateError> {
    body.iter().try_for_each(statement)
}

fn statement(statement: &Stmt<'_>) -> Result<(), TemplateError> {
    match statement {
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emit) => expression(&emit.expr),
        Stmt::IfCond(condition) => {
            expression(&condition.expr)?;
            statements(&condition.true_body)?;
            statements(&condition.false_body)
        }
        Stmt::ForLoop(each) => {
            if each.recursive {
                return refuse("a recursive loop", each.span());
            }
            expression(&each.target)?;
            expression(&each.iter)?;
            each.filter_expr.as_ref().map_or(Ok(()), expression)?;
            statements(&each.body)?;
            statements(&each.else_body)
        }
        Stmt::Template(template) => statements(&template.children),
        Stmt::WithBlock(with) => refuse("{% with %}", with.span()),
        Stmt::Set(set) => refuse("{% set %}", set.span()),
        Stmt::SetBlock(set) => refuse("{% set %}", set.span()),
        Stmt::AutoEscape(escape) => refuse("{% autoescape %}", escape.span()),
        Stmt::FilterBlock(filter) => refuse("{% filter %}", filter.span()),
        Stmt::Do(call) => refuse("{% do %}", call.span()),
        #[expect(unreachable_patterns, reason = "what minijinja's other features would add")]
        _ => Err(TemplateError::NotAllowed { what: "this statement".to_owned(), line: 0 }),
    }
}

fn expression(expr: &Expr<'_>) -> Result<(), TemplateError> {
    match expr {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::GetAttr(get) => expression(&get.expr),
        Expr::GetItem(get) => expression(&get.expr).and_then(|()| expression(&get.subscript_expr)),
        Expr::UnaryOp(op) => expression(&op.expr),
        Expr::BinOp(op) => {
            if let Some(what) = refused(op.op) {
                return refuse(what, op.span());
            }
            expression(&op.left)?;
            expression(&op.right)
        }
        Expr::Compare(compare) => {
            expression(&compare.expr)?;
            compare.ops.iter().try_for_each(|op| expression(&op.expr))
        }
        Expr::IfExpr(choice) => {
            expression(&choice.test_expr)?;
            expression(&choice.true_expr)?;
            choice.false_expr.as_ref().map_or(Ok(()), expression)
        }
        Expr::List(list) => list.items.iter().try_for_each(expression),
        Expr::Filter(filter) => {
            let line = filter.span().start_line;
            let Some((_, takes)) = FILTERS.iter().find(|(name, _)| *name == filter.name) else {
                return Err(TemplateError::Unknown { what: "filter", name: filter.name.to_owned(), line });
            };
            if filter.args.len() != *takes {
                return Err(TemplateError::Arguments { name: filter.name.to_owned(), takes: *takes, line });
            }
            filter.expr.as_ref().map_or(Ok(()), expression)?;
            arguments(&filter.args, filter.span())
        }
        Expr::Test(test) => {
            if !TESTS.contains(&test.name) || !test.args.is_empty() {
                let line = test.span().start_line;
                return Err(TemplateError::Unknown { what: "test", name: test.name.to_owned(), line });
            }
            expression(&test.expr)
        }
        Expr::Slice(slice) => refuse("a slice", slice.span()),
        Expr::Call(call) => refuse("a call", call.span()),
        Expr::Tuple(tuple) => refuse("a tuple", tuple.span()),
        Expr::Map(map) => refuse("a map", map.span()),
    }
}

fn arguments(arguments: &[CallArg<'_>], span: Span) -> Result<(), TemplateError> {
    arguments.iter().try_for_each(|argument| match argument {
        CallArg::Pos(expr) => expression(expr),
        CallArg::Kwarg(..) | CallArg::PosSplat(_) | CallArg::KwargSplat(_) => refuse("a named argument", span),
    })
}

/// How an operator reads that is not part of the language.
fn refused(op: BinOpKind) -> Option<&'static str> {
    match op {
        BinOpKind::Add => Some("+"),
        BinOpKind::Mul => Some("*"),
        BinOpKind::Pow => Some("**"),
        BinOpKind::Div => Some("/"),
        BinOpKind::FloorDiv => Some("//"),
        BinOpKind::Rem => Some("%"),
        BinOpKind::Concat => Some("~"),
        BinOpKind::Eq | BinOpKind::Ne | BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => None,
        BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::In | BinOpKind::Sub => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_texts_need_is_allowed() {
        for good in [
            "",
            "{{ actor.name }} mengomentari postingan Anda",
            "{% if post.title is defined %}{{ post.title | truncate(20) }}{% else %}-{% endif %}",
            "{% for one in actors if one.name != 'x' %}{{ loop.index }} {{ one.name }}{% else %}none{% endfor %}",
            "{{ n - 1 }} {{ n | plural('reply', 'replies') }} {{ 'a' if n > 1 and n in [2, 3] else x[0] }}",
            "{# a comment #}{{ a | default('b') | upper }}{% raw %}{{{% endraw %}",
        ] {
            check_template(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        check_expression("post.status == 'APPROVED' and not post.hidden").unwrap();
    }

    #[test]
    fn nothing_else_is() {
        for (bad, why) in [
            ("{{ 'x' * 1000000000 }}", "line 1: * is not part"),
            ("\n{{ a ~ a }}", "line 2: ~ is not part"),
            ("{{ a + a }}", "+ is not part"),
            ("{{ 9 ** 9 }}", "** is not part"),
            ("{% set a = 1 %}", "{% set %} is not part"),
            ("{% set a %}x{% endset %}", "{% set %} is not part"),
            ("{% with a = 1 %}{% endwith %}", "{% with %} is not part"),
            ("{% autoescape false %}{% endautoescape %}", "{% autoescape %} is not part"),
            ("{% filter upper %}{% endfilter %}", "{% filter %} is not part"),
            ("{% for a in b recursive %}{% endfor %}", "a recursive loop is not part"),
            ("{{ range(9) }}", "a call is not part"),
            ("{{ a.b() }}", "a call is not part"),
            ("{{ {'a': 1} }}", "a map is not part"),
            ("{{ a[1:2] }}", "a slice is not part"),
            ("{{ a | safe }}", "there is no filter \"safe\""),
            ("{% if x %}{{ a | rupia }}{% endif %}", "there is no filter \"rupia\""),
            ("{{ a is callable }}", "there is no test \"callable\""),
            ("{{ a | truncate }}", "truncate takes 1 arguments"),
            ("{{ a | truncate(length=2) }}", "a named argument is not part"),
            ("{{ a", "syntax error"),
            ("{% include 'x' %}", "syntax error"),
            ("{% macro a() %}{% endmacro %}", "syntax error"),
            (&"x".repeat(9000), "has 9000 bytes"),
        ] {
            let error = check_template(bad).expect_err(bad).to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(check_expression("a b").is_err());
        assert!(check_expression("range(9)").is_err());
    }
}
