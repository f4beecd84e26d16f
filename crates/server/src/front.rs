//! What every public request passes: it is counted while it is under way, and shown to the one who answers it.
//!
//! Signed requests go straight to the API's own dispatch, everything else to actix-web.

use std::pin::Pin;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::{ConnectionType, Request, Response};
use actix_service::{Service, ServiceFactory};
use actix_web::dev::ServiceResponse;

use crate::health::Health;

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// The way in of one worker thread; `R` answers what is not signed.
#[derive(Clone)]
pub(crate) struct Front<R> {
    pub(crate) api: api::Api,
    pub(crate) health: Health,
    pub(crate) rest: R,
}

impl<R, B> ServiceFactory<Request> for Front<R>
where
    R: ServiceFactory<Request, Config = (), Response = ServiceResponse<B>, Error = actix_web::Error>,
    R::Future: 'static,
    R::Service: 'static,
    <R::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<BoxBody>;
    type Error = actix_web::Error;
    type Config = ();
    type Service = Front<R::Service>;
    type InitError = R::InitError;
    type Future = Boxed<Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (api, health, rest) = (self.api.clone(), self.health.clone(), self.rest.new_service(()));
        Box::pin(async move { Ok(Front { api, health, rest: rest.await? }) })
    }
}

impl<R, B> Service<Request> for Front<R>
where
    R: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    R::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<BoxBody>;
    type Error = actix_web::Error;
    type Future = Boxed<Result<Self::Response, Self::Error>>;

    actix_service::forward_ready!(rest);

    fn call(&self, request: Request) -> Self::Future {
        let under_way = self.health.request();
        if api::Api::is_signed(request.path()) {
            let api = self.api.clone();
            return Box::pin(async move { Ok(under_way.done(api.answer_signed(request).await)) });
        }
        let answer = self.rest.call(request);
        Box::pin(async move {
            let answer: Response<B> = answer.await?.into();
            Ok(under_way.done(answer.map_into_boxed_body()))
        })
    }
}

impl crate::health::Request {
    /// A server that is about to stop keeps no connection.
    fn done(self, mut answer: Response<BoxBody>) -> Response<BoxBody> {
        if self.is_draining() {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        answer
    }
}
