//! The gateway as compiled from a descriptor set: schema, routes, documents. Immutable, so that requests share it freely.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::{
    config::Config,
    metadata::{Crossing, HeaderNameError},
    method::{Method, MethodError},
    metrics::{Metrics, Requests},
    openapi,
    route::Table,
    rule::{self, RuleError},
    schema::{EditionError, Schema, editions},
    service::GatewayService,
    template::Segment,
    upstream::Upstream,
    web,
};

/// A gateway, ready to serve any number of upstreams of its descriptor set.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) compiled: Arc<Compiled>,
}

/// What requests read.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) config: Config,
    pub(crate) schema: Schema,
    pub(crate) routes: Table<Method>,
    pub(crate) crossing: Crossing,
    pub(crate) openapi: Bytes,
    /// The counters of each route, in their order.
    pub(crate) counted: Box<[Arc<Requests>]>,
}

/// Makes a [`Gateway`].
#[derive(Clone, Debug)]
pub struct Builder {
    descriptor_set: Bytes,
    config: Config,
}

/// Why a descriptor set cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of it has an edition, and cannot be served.
    #[error(transparent)]
    Edition(#[from] EditionError),
    /// It is no valid descriptor set.
    #[error("the descriptor set is not valid: {0}")]
    Descriptor(#[from] prost_reflect::DescriptorError),
    /// A method's annotation cannot be read.
    #[error("method `{method}`: {source}")]
    Rule {
        /// The method's full name.
        method: String,
        /// What is wrong.
        source: RuleError,
    },
    /// A method's rule does not fit its messages.
    #[error("method `{method}`: {source}")]
    Method {
        /// The method's full name.
        method: String,
        /// What is wrong.
        source: MethodError,
    },
    /// Two rules answer the same requests.
    #[error("methods `{first}` and `{second}` both answer {http_method} {template}")]
    Conflict {
        /// The method that came first.
        first: String,
        /// The method that came later.
        second: String,
        /// The HTTP method.
        http_method: String,
        /// The template of the later.
        template: String,
    },
    /// A rule answers where the gateway itself does.
    #[error("method `{method}` and the gateway itself both answer GET {path}")]
    OwnPage {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// A stream that is configured is none.
    #[error("`{0}`, of which is told how to resume it, is no method with a server stream")]
    UnknownStream(String),
    /// A configured header is none.
    #[error(transparent)]
    HeaderName(#[from] HeaderNameError),
}

impl Gateway {
    /// A builder for an encoded `google.protobuf.FileDescriptorSet` with all its imports.
    pub fn builder(descriptor_set: impl Into<Bytes>) -> Builder {
        Builder { descriptor_set: descriptor_set.into(), config: Config::default() }
    }

    /// A tower service that sends calls to `upstream`.
    pub fn service(&self, upstream: impl Upstream) -> GatewayService {
        GatewayService::new(self.compiled.clone(), Arc::new(upstream))
    }

    /// An axum router with the service as its fallback, to be merged or nested at will.
    pub fn into_router(self, upstream: impl Upstream) -> axum::Router {
        axum::Router::new().fallback_service(self.service(upstream))
    }

    /// All bindings, in the order of the descriptors.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.compiled.routes.routes()
    }

    /// The gRPC paths of the unary methods that may be called twice without harm: by their standard option
    /// `idempotency_level`, since their rule is a GET (which is safe by HTTP's own word), or as `also` says, which knows
    /// options of its own.
    pub fn idempotent(&self, also: impl Fn(&MethodDescriptor) -> bool) -> HashSet<String> {
        let services = self.compiled.schema.pool().services();
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let unary = methods.filter(|method| !method.is_client_streaming() && !method.is_server_streaming());
        let idempotent = unary.filter(|method| {
            let read =
                || self.methods().any(|bound| bound.http_method == "GET" && bound.descriptor == *method);
            rule::is_idempotent(method) || also(method) || read()
        });
        idempotent
            .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
            .collect()
    }

    /// The OpenAPI 3.1 document, as JSON.
    pub fn openapi(&self) -> &Bytes {
        &self.compiled.openapi
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.compiled.config.metrics
    }

    /// The compiled messages.
    pub fn schema(&self) -> &Schema {
        &self.compiled.schema
    }
}

impl Builder {
    /// Sets everything that can be set.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Compiles; every mistake in the rules is found here.
    pub fn build(self) -> Result<Gateway, BuildError> {
        let set = editions::lower(&self.descriptor_set)?;
        let schema = Schema::compile(DescriptorPool::decode(&*set)?);
        let mut routes: Table<Method> = Table::default();
        for descriptor in schema.pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let name = || descriptor.full_name().to_owned();
            let rules =
                rule::rules_of(&descriptor).map_err(|source| BuildError::Rule { method: name(), source })?;
            for rule in rules {
                let method =
                    Method::compile(&schema, &descriptor, &rule, routes.len(), &self.config.resumption)
                        .map_err(|source| BuildError::Method { method: name(), source })?;
                let template = method.template.clone();
                routes.insert(&rule.method, &template, method).map_err(|twin| BuildError::Conflict {
                    first: twin.descriptor.full_name().to_owned(),
                    second: name(),
                    http_method: rule.method.clone(),
                    template: rule.template.clone(),
                })?;
            }
        }
        if routes.is_empty() && schema.pool().services().next().is_some() {
            tracing::warn!("no method has an annotation `google.api.http`: have its options been lost?");
        }
        self.check_own_pages(&routes)?;
        self.check_resumption(&schema)?;
        let crossing = Crossing::new(&self.config.metadata)?;
        let openapi = openapi::document(&schema, &routes, &self.config);
        let of = routes.routes().map(|method| (method.template_text.clone(), method.http_method.clone()));
        let counted = self.config.metrics.routes(of);
        self.config.metrics.allow(&self.config.limits);
        let compiled = Compiled { config: self.config, schema, routes, crossing, openapi, counted };
        Ok(Gateway { compiled: Arc::new(compiled) })
    }

    /// A method that is listed and is not there was misspelt.
    fn check_resumption(&self, schema: &Schema) -> Result<(), BuildError> {
        let services = schema.pool().services();
        let methods: HashSet<String> = services
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| method.is_server_streaming())
            .map(|method| method.full_name().to_owned())
            .collect();
        match self.config.resumption.methods.keys().find(|name| !methods.contains(*name)) {
            Some(method) => Err(BuildError::UnknownStream(method.clone())),
            None => Ok(()),
        }
    }

    /// A rule that names one of the gateway's own paths would never be asked; a wildcard that could is.
    fn check_own_pages(&self, routes: &Table<Method>) -> Result<(), BuildError> {
        let health = self.config.health_path.as_deref();
        let taken = self.config.taken_paths.iter().map(String::as_str);
        for path in [web::OPENAPI_PATH, web::DOCS_PATH].into_iter().chain(health).chain(taken) {
            let found = routes.find("GET", path, self.config.strict_verbs);
            if let Ok(found) = found
                && found.route.template.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
            {
                let method = found.route.descriptor.full_name().to_owned();
                return Err(BuildError::OwnPage { method, path: path.to_owned() });
            }
        }
        Ok(())
    }
}
