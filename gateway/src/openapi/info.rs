//! What the document says of the whole: what it is told to, and else what the descriptors have.

use serde_json::{Value, json};

use super::Context;
use crate::{method::Method, route::Table};

/// The info object.
pub(super) fn of(context: &Context<'_>, routes: &Table<Method>) -> Value {
    let told = &context.config.info;
    let mut services: Vec<_> = Vec::new();
    for method in routes.routes() {
        let service = method.descriptor.parent_service();
        if !services.contains(&service) {
            services.push(service);
        }
    }
    let package = services.iter().map(|service| service.package_name()).reduce(common).unwrap_or_default();
    let title = || match &*services {
        [service] => service.name().to_owned(),
        _ if package.is_empty() => "API".to_owned(),
        _ => package.to_owned(),
    };
    let version = || package.rsplit('.').next().filter(|last| is_version(last)).unwrap_or("1").to_owned();
    let description = || {
        let of_file = services.iter().map(|service| context.comments.of_package(&service.parent_file()));
        let of_one = || match &*services {
            [service] => context.comments.of_service(service),
            _ => String::new(),
        };
        of_file.into_iter().find(|text| !text.is_empty()).unwrap_or_else(of_one)
    };
    let or = |told: &str, else_: &dyn Fn() -> String| {
        if told.is_empty() { else_() } else { told.to_owned() }
    };
    json!({
        "title": or(&told.title, &title),
        "version": or(&told.version, &version),
        "description": or(&told.description, &description),
    })
}

/// The package that two packages lie in.
fn common<'p>(left: &'p str, right: &'p str) -> &'p str {
    let same = left.split('.').zip(right.split('.')).take_while(|(left, right)| left == right);
    let length: usize = same.map(|(part, _)| part.len() + 1).sum();
    &left[..length.saturating_sub(1)]
}

/// `v1`, `v1beta2`.
fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}
