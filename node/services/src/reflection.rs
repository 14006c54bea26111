//! grpc.reflection, v1 and v1alpha, over the descriptor files as they were compiled.
//!
//! A file is sent as the bytes that it is in the descriptor set. Decoded and encoded again it would lose the options
//! that its reader's types do not know, `google.api.http` and `arsenal.v1.operation` among them, and a gateway that
//! learns its routes by reflection would learn none.

mod files;

use arsenal_proto::FILE_DESCRIPTOR_SET;
use files::Files;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use std::collections::HashSet;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::{v1, v1alpha};
use v1::server_reflection_request::MessageRequest as Asked;
use v1::server_reflection_response::MessageResponse as Told;

/// The service; its two versions have the same messages.
#[derive(Clone)]
pub(crate) struct Reflection(Arc<Files>);

type Answers<T> = BoxStream<'static, Result<T, Status>>;

impl Reflection {
    /// Over all that a node serves.
    ///
    /// # Errors
    /// If a descriptor set cannot be read.
    pub(crate) fn new() -> Result<Self, prost::DecodeError> {
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ];
        Ok(Self(Arc::new(Files::read(&sets)?)))
    }

    /// As v1.
    pub(crate) fn v1(&self) -> v1::server_reflection_server::ServerReflectionServer<Self> {
        v1::server_reflection_server::ServerReflectionServer::new(self.clone())
    }

    /// As v1alpha, which older clients ask for.
    pub(crate) fn v1alpha(&self) -> v1alpha::server_reflection_server::ServerReflectionServer<Self> {
        v1alpha::server_reflection_server::ServerReflectionServer::new(self.clone())
    }

    /// `sent` are the files that this client has already.
    fn answer(
        &self,
        request: v1::ServerReflectionRequest,
        sent: &mut HashSet<String>,
    ) -> v1::ServerReflectionResponse {
        let told = match &request.message_request {
            Some(Asked::FileByFilename(name)) => self.files(Some(name), sent),
            Some(Asked::FileContainingSymbol(symbol)) => self.files(self.0.of_symbol(symbol), sent),
            Some(Asked::FileContainingExtension(extension)) => {
                let file = self.0.of_extension(&extension.containing_type, extension.extension_number);
                self.files(file, sent)
            }
            Some(Asked::AllExtensionNumbersOfType(name)) => {
                let numbers = v1::ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: self.0.extensions_of(name),
                };
                self.0.of_symbol(name).map(|_| Told::AllExtensionNumbersResponse(numbers))
            }
            Some(Asked::ListServices(_)) => {
                let service = |name: &String| v1::ServiceResponse { name: name.clone() };
                let service = self.0.services().iter().map(service).collect();
                Some(Told::ListServicesResponse(v1::ListServiceResponse { service }))
            }
            None => None,
        };
        let told = told.unwrap_or_else(|| {
            Told::ErrorResponse(v1::ErrorResponse {
                error_code: tonic::Code::NotFound as i32,
                error_message: match &request.message_request {
                    Some(Asked::FileByFilename(text) | Asked::FileContainingSymbol(text)) => {
                        format!("nothing is known of `{text}`")
                    }
                    Some(_) => "nothing is known of that extension".to_owned(),
                    None => "the request asks for nothing".to_owned(),
                },
            })
        });
        v1::ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(told),
        }
    }

    fn files(&self, name: Option<&str>, sent: &mut HashSet<String>) -> Option<Told> {
        let file_descriptor_proto = self.0.with_imports(name?, sent)?;
        Some(Told::FileDescriptorResponse(v1::FileDescriptorResponse { file_descriptor_proto }))
    }

    fn answers(
        &self,
        requests: BoxStream<'static, Result<v1::ServerReflectionRequest, Status>>,
    ) -> Answers<v1::ServerReflectionResponse> {
        let state = (self.clone(), requests, HashSet::new());
        let answers = stream::unfold(state, |(reflection, mut requests, mut sent)| async move {
            let answer = requests.next().await?.map(|request| reflection.answer(request, &mut sent));
            Some((answer, (reflection, requests, sent)))
        });
        answers.boxed()
    }
}

#[tonic::async_trait]
impl v1::server_reflection_server::ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<v1::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        Ok(Response::new(self.answers(request.into_inner().boxed())))
    }
}

#[tonic::async_trait]
impl v1alpha::server_reflection_server::ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1alpha::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let requests = request.into_inner().map(|request| convert(&request?));
        let answers = self.answers(requests.boxed()).map(|answer| convert(&answer?));
        Ok(Response::new(answers.boxed()))
    }
}

/// From one version's message to the other's, which has the same fields.
fn convert<T: prost::Message + Default>(message: &impl prost::Message) -> Result<T, Status> {
    T::decode(&*message.encode_to_vec()).map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(asked: Asked, sent: &mut HashSet<String>) -> Option<Told> {
        let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
        Reflection::new().unwrap().answer(request, sent).message_response
    }

    fn files(asked: Asked, sent: &mut HashSet<String>) -> Vec<Vec<u8>> {
        match ask(asked, sent) {
            Some(Told::FileDescriptorResponse(files)) => files.file_descriptor_proto,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_what_was_compiled_with_its_options_and_comes_with_its_imports_once() {
        let mut sent = HashSet::new();
        let symbol = "arsenal.v1.ProcessService.StartProcess".to_owned();
        let sent_files = files(Asked::FileContainingSymbol(symbol), &mut sent);
        let mut set = Vec::new();
        for file in &sent_files {
            prost::encoding::bytes::encode(1, file, &mut set);
        }
        let pool = prost_reflect::DescriptorPool::decode(&*set).expect("no import is missing");
        let method = pool.get_service_by_name("arsenal.v1.ProcessService").unwrap();
        let method = method.methods().find(|method| method.name() == "StartProcess").unwrap();
        let option = pool.get_extension_by_name("arsenal.v1.operation").unwrap();
        assert!(method.options().has_extension(&option));
        let again = files(Asked::FileByFilename("arsenal/v1/process.proto".into()), &mut sent);
        assert_eq!(again, [sent_files[0].clone()], "what was asked for comes again, its imports do not");
    }

    #[test]
    fn what_is_not_there_is_not_found_and_what_extends_is_listed() {
        let mut sent = HashSet::new();
        for asked in [Asked::FileByFilename("no.proto".into()), Asked::FileContainingSymbol("no.Such".into())]
        {
            assert!(
                matches!(ask(asked, &mut sent), Some(Told::ErrorResponse(error)) if error.error_code == 5)
            );
        }
        let options = "google.protobuf.MethodOptions".to_owned();
        match ask(Asked::AllExtensionNumbersOfType(options), &mut sent) {
            Some(Told::AllExtensionNumbersResponse(numbers)) => {
                assert_eq!(numbers.extension_number, [50101, 72_295_728]);
            }
            other => panic!("{other:?}"),
        }
        match ask(Asked::ListServices(String::new()), &mut sent) {
            Some(Told::ListServicesResponse(list)) => {
                let names: Vec<&str> = list.service.iter().map(|service| &*service.name).collect();
                assert!(
                    names.contains(&"arsenal.v1.SessionService") && names.contains(&"grpc.health.v1.Health")
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
