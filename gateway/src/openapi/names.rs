//! What services and operations are called, each by a name that no other has.

use std::collections::{BTreeMap, HashSet};

use prost_reflect::ServiceDescriptor;

use crate::method::Method;

/// The names of services: the short one where it is nobody else's, else with the package.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeMap<String, String>);

impl Services {
    /// Those of the services that have methods here.
    pub(super) fn of<'m>(methods: impl Iterator<Item = &'m Method>) -> Self {
        let mut names: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for method in methods {
            let service = method.descriptor.parent_service();
            names.entry(service.name().to_owned()).or_default().insert(service.full_name().to_owned());
        }
        let mut told = BTreeMap::new();
        for (short, all) in names {
            let alone = all.len() == 1;
            told.extend(all.into_iter().map(|full| {
                let name = if alone { short.clone() } else { full.clone() };
                (full, name)
            }));
        }
        Self(told)
    }

    /// The name of one of them.
    pub(super) fn name<'s>(&'s self, service: &'s ServiceDescriptor) -> &'s str {
        self.0.get(service.full_name()).map_or(service.name(), String::as_str)
    }
}

/// The ids of operations so far.
#[derive(Debug, Default)]
pub(super) struct Operations(HashSet<String>);

impl Operations {
    /// The id of a method's binding: the service and the method, and from the second on a number.
    pub(super) fn id(&mut self, service: &str, method: &Method) -> String {
        let base = format!("{}_{}", service.replace('.', "_"), method.descriptor.name());
        let mut id = base.clone();
        // Ends: each turn has another number, and those that are taken are as many as there are operations.
        let mut number = 1;
        while !self.0.insert(id.clone()) {
            number += 1;
            id = format!("{base}_{number}");
        }
        id
    }
}
