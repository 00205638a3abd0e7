# The image that holds every program of rawserve, the same as `make images` writes
# without Docker:
#   docker build -t REGISTRY/rawserve:VERSION .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN for c in controller activator agent metrics-adapter storage-initializer; do \
      CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags grpcnotrace -ldflags "-s -w" -o /app/$c ./cmd/$c || exit 1; done

FROM scratch
# The storage initializer fetches over https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /app /app
USER 65532:65532
