# An image with the static postroad binary only.
#
#   docker build -t postroad .                                          builds it inside
#   docker build -t postroad --target prebuilt --build-arg BINARY=…     takes a static one from the build context
#
# Both give the same image. BINARY is a path in the context.

ARG BINARY=postroad

# Folders that the unprivileged user can write to, and the name by which it stands in for Mailpit; the image has no shell to
# create them.
FROM debian:bookworm-slim AS folders
RUN mkdir -p /root-of-image/data /root-of-image/authority /root-of-image/tmp && chown -R 10001:10001 /root-of-image \
 && chmod 1777 /root-of-image/tmp && ln -s /postroad /root-of-image/mailpit

FROM scratch AS base
COPY --from=folders --chown=10001:10001 /root-of-image/ /
COPY LICENSE-MIT LICENSE-APACHE /
COPY config /config
LABEL org.opencontainers.image.title="Postroad" \
      org.opencontainers.image.description="A mail world on one machine: real SMTP, LMTP, POP3, IMAP and DNS" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Whoever runs it decides which ports are published, and at which address. POSTROAD_HTTP_TOKEN asks for a token nevertheless.
ENV POSTROAD_DATA=/data POSTROAD_AUTHORITY=/authority POSTROAD_BIND=0.0.0.0 POSTROAD_INSECURE_HTTP=true PATH=/
USER 10001:10001
VOLUME ["/data", "/authority"]
ENTRYPOINT ["/postroad"]
CMD ["serve"]

FROM base AS prebuilt
ARG BINARY
# Includes a file that always exists, because some builders build this stage even if it is not requested.
COPY LICENSE-MIT ${BINARY}* /

FROM rust:1-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY config config
# A static glibc; build paths are removed from the binary, so that builds are reproducible.
ENV RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols --remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo"
RUN cargo build --profile dist --features mailin --locked --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && cp target/*/dist/postroad /postroad

FROM base
COPY --from=build /postroad /postroad
