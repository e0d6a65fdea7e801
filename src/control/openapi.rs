//! The description of this interface, OpenAPI 3.1: made from the attributes of the handlers and the types of their bodies.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder, Schema,
    SecurityRequirement, Type,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::problem::{MEDIA_TYPE, Problem};
use crate::mail::{Address, JourneyId, QueueId};

/// The tag of the paths that are Mailpit's, whose errors are text.
const MAILPIT: &str = "messages";

/// The document, as JSON.
#[derive(Clone)]
pub(super) struct Document(Bytes);

/// The router of these routes, and the layer by which [`show`] has their document.
pub(super) fn router<S: Clone + Send + Sync + 'static>(routes: OpenApiRouter<S>) -> (Router<S>, Extension<Document>) {
    let (router, document) = routes.split_for_parts();
    // A tree of strings.
    let json = serde_json::to_vec(&completed(document)).unwrap_or_default();
    (router, Extension(Document(json.into())))
}

/// This interface, as an OpenAPI 3.1 document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "world", responses((status = 200, body = Object)))]
pub(super) async fn show(Extension(Document(json)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// Returns the document with what no handler says: title and version, the default (error) response of each operation
/// that has none, and the two kinds of credentials, which are optional.
fn completed(mut document: OpenApi) -> OpenApi {
    document.info = Info::new("Postroad", env!("CARGO_PKG_VERSION"));
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (name, scheme) in [("token", HttpAuthScheme::Bearer), ("user", HttpAuthScheme::Basic)] {
        components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
    }
    let one = |name: &str| SecurityRequirement::new(name, [] as [&str; 0]);
    document.security = Some(vec![SecurityRequirement::default(), one("token"), one("user")]);
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let is_mailpit = operation.tags.iter().flatten().any(|tag| tag == MAILPIT);
        let (kind, schema): (_, RefOr<Schema>) = match is_mailpit {
            true => ("text/plain", String::schema()),
            false => (MEDIA_TYPE, Ref::from_schema_name(Problem::name()).into()),
        };
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let error = ResponseBuilder::new().description("An error.").content(kind, content).build();
        operation.responses.responses.entry("default".to_owned()).or_insert_with(|| error.into());
    }
    document
}

/// The operations of a path: those of GET, PUT, POST and DELETE that it has. No handler has another method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

/// A type that is a string in JSON.
macro_rules! text {
    ($type:ty, $example:literal) => {
        impl PartialSchema for $type {
            /// A string, with an example.
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).examples([$example]).into()
            }
        }

        impl ToSchema for $type {}
    };
}

text!(Address, "ann@shop.test");
text!(JourneyId, "3FK9Q2XW7T");
text!(QueueId, "3FK9Q2XW7T-04KMX");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::control::routes;

    type Methods = BTreeMap<String, BTreeSet<String>>;

    /// What axum says of its routes: their paths, and the methods that each allows.
    fn of_router(router: &Router<std::sync::Arc<crate::host::RunningWorld>>) -> Methods {
        let text = format!("{router:?}");
        let (mut allowed, mut paths) = (BTreeMap::new(), BTreeMap::new());
        for route in text.split("RouteId(").skip(1) {
            let (id, rest) = route.split_once("): ").unwrap();
            if let Some(path) = rest.strip_prefix('"') {
                paths.entry(id).or_insert(path.split_once('"').unwrap().0);
            } else if let Some((_, header)) = rest.split_once("allow_header: Bytes(b\"") {
                let methods = header.split_once('"').unwrap().0;
                allowed.entry(id).or_insert(methods);
            }
        }
        let named = paths.into_iter().map(|(id, path)| (path.to_owned(), allowed[id]));
        named.map(|(path, methods)| (path, methods.split(',').map(str::to_owned).collect())).collect()
    }

    fn of_document(document: &OpenApi) -> Methods {
        let json = serde_json::to_value(document).unwrap();
        let paths = json["paths"].as_object().unwrap().iter().map(|(path, item)| {
            let mut methods: BTreeSet<_> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
            if methods.contains("GET") {
                methods.insert("HEAD".to_owned());
            }
            (path.clone(), methods)
        });
        paths.collect()
    }

    #[test]
    fn openapi_document_and_router_have_the_same_paths_and_methods() {
        let (router, document) = routes().split_for_parts();
        let (of_router, of_document) = (of_router(&router), of_document(&completed(document)));
        assert!(30 < of_router.len(), "{of_router:#?}");
        assert_eq!(of_router, of_document);
    }

    #[test]
    fn openapi_document_has_a_summary_and_an_error_for_every_operation() {
        let mut document = completed(routes().split_for_parts().1);
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                assert!(operation.summary.is_some(), "{path}");
                assert!(operation.responses.responses.contains_key("default"), "{path}");
                assert_eq!(operation.tags.as_ref().map(Vec::len), Some(1), "{path}");
            }
        }
    }

    #[test]
    fn openapi_document_refers_to_schemas_that_it_has() {
        let json = serde_json::to_value(completed(routes().split_for_parts().1)).unwrap();
        assert_eq!(json["openapi"].as_str().unwrap().split_once('.').unwrap().0, "3");
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"), "{}", json["openapi"]);
        let text = json.to_string();
        let names: BTreeSet<_> =
            text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.contains("Problem") && names.contains("JourneyReport"), "{names:?}");
        for name in names {
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
