# The page's dependencies; only files go on, nothing of node.
FROM node:22-bookworm-slim AS page
WORKDIR /page
COPY crates/server/page/package.json crates/server/page/package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM rust:1.95-slim-bookworm AS build
# libpq and OpenSSL are built from source and linked in.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=page /page/node_modules crates/server/page/node_modules
RUN cargo build --locked --profile dist --package server --bin kabar

FROM debian:bookworm-slim
# A number, so that a cluster can see that it is not root. The data folder is the user's, and so is a volume on it.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/kabar
COPY --from=build /src/target/dist/kabar /usr/local/bin/kabar
COPY LICENSE LICENSE-APACHE LICENSE-MIT /usr/share/doc/kabar/
USER 65532:65532
WORKDIR /var/lib/kabar
ENV KABAR__SERVER__PUBLIC=0.0.0.0:8080 \
    KABAR__SERVER__INTERNAL=0.0.0.0:9090 \
    KABAR__DATABASE__DATA_DIR=/var/lib/kabar
VOLUME /var/lib/kabar
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["kabar"]
CMD ["serve"]
