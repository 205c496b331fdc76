//! Finds the name under which each configured field was sent: its own, or another spelling of it.

use forms::{Field, FieldKind, Fields};
use web::{FieldError, Form, spelling};

/// The names under which the fields of a form were sent, for each configured field.
#[derive(Debug)]
pub(crate) struct SentNames<'a>(Vec<(&'a Field, String)>);

impl<'a> SentNames<'a> {
    /// Finds the group of the e-mail address, and the name of each field in it. Another spelling counts if the field's
    /// own name was not sent, and one field of the form has it.
    ///
    /// # Errors
    /// When several groups have an e-mail address.
    pub(crate) fn find(form: Form, fields: &'a Fields) -> Result<(Form, Self), FieldError> {
        let mut form = form;
        if let Some(email) = fields.iter().find(|field| field.kind == FieldKind::Email) {
            form = form.in_group_with(&email.name)?;
            if form.values(&email.name).next().is_none()
                && let Some(other) = other_spelling(&form, email, fields, |_| true)
            {
                form = form.in_group_with(&other).map_err(|error| error.of_field(&email.name))?;
            }
        }
        let sent = |field: &'a Field| {
            let is_sent = form.values(&field.name).next().is_some();
            let other = || other_spelling(&form, field, fields, |is_in_group| is_in_group);
            (field, if is_sent { None } else { other() }.unwrap_or_else(|| field.name.clone()))
        };
        let sent = fields.iter().map(sent).collect();
        Ok((form, Self(sent)))
    }

    /// The name under which this field was sent, or its own.
    pub(crate) fn of(&self, field: &'a Field) -> &str {
        self.0.iter().find(|(it, _)| it.name == field.name).map_or(&field.name, |(_, sent)| sent)
    }

    /// The names of the configured fields that were not filled in, although the form has a filled field of a similar
    /// name, or one of the same name in another group.
    pub(crate) fn ignored(&self, form: &Form, fields: &Fields) -> Vec<String> {
        let is_ignored = |(field, sent): &&(&Field, String)| {
            field.kind != FieldKind::Honeypot
                && !form.is_filled(sent)
                && form.filled().any(|(names, _)| names.iter().any(|name| may_be(field, name, fields)))
        };
        self.0.iter().filter(is_ignored).map(|(field, _)| field.name.clone()).collect()
    }
}

/// The one other spelling of a field's name among the filled fields of a form. A honeypot has none: people fill in
/// fields with names such as `Website`.
fn other_spelling(form: &Form, field: &Field, fields: &Fields, in_place: impl Fn(bool) -> bool) -> Option<String> {
    if field.kind == FieldKind::Honeypot {
        return None;
    }
    let is_own = |name: &&String| may_be(field, name, fields) && fields.iter().all(|other| other.name != **name);
    let filled = form.filled().filter(|(_, is_in_group)| in_place(*is_in_group));
    let mut names: Vec<_> = filled.filter_map(|(names, _)| names.iter().find(is_own)).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [name] => Some((*name).clone()),
        _ => None,
    }
}

/// Whether this name is the field's or a spelling of it, and not of another field.
fn may_be(field: &Field, name: &str, fields: &Fields) -> bool {
    is_near(field, name) && fields.iter().all(|other| other.name == field.name || !is_near(other, name))
}

/// Whether a name is a spelling of the field's name or of its attribute: `First Name`, `firstName` and `name.first` of
/// `first_name`, `phone_number` of `phone`, `Email Address` of `email`.
pub(crate) fn is_near(field: &Field, name: &str) -> bool {
    let suffix = match field.kind {
        FieldKind::Phone => "number",
        FieldKind::Email => "address",
        _ => "",
    };
    let key = |name: &str| {
        let spelling = match spelling(name) {
            name if ["namefirst", "namemiddle", "namelast"].contains(&name.as_str()) => format!("{}name", &name[4..]),
            name => name,
        };
        spelling.strip_suffix(suffix).filter(|rest| !rest.is_empty()).map(str::to_owned).unwrap_or(spelling)
    };
    let sent = key(name);
    key(&field.name) == sent || field.attribute.as_deref().is_some_and(|attribute| key(attribute) == sent)
}
