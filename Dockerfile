# acdit serve in a container, as an ordinary user. The root file system may be read-only; models of the Hub are kept in
# /cache. docs/serving.md has more:
#
#     docker build -t acdit . && docker run --read-only -p 8000:8000 acdit
ARG NODE=node:24.22.3-bookworm-slim

# The packages that acdit needs at run time, at the versions of the lock file. Left out: ONNX Runtime for other systems
# and processors, and in WebAssembly.
FROM ${NODE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund \
  && rm -r node_modules/onnxruntime-web \
  && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -not -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM ${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY . .
# The app's copies of models are left out: the server has them in models.
RUN npm run build && npm run build:web && rm -rf web/dist/assets/models

FROM ${NODE}
ENV NODE_ENV=production HF_HOME=/cache
RUN install -d -o node -g node /cache
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
# The client of a shared store: an optional peer of acdit, without dependencies.
COPY --from=build /app/node_modules/@redis node_modules/@redis
COPY package.json LICENSE THIRD-PARTY-NOTICES.md ./
COPY models models
COPY --from=build /app/dist dist
COPY --from=build /app/web/dist web/dist
USER 1000:1000
EXPOSE 8000
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["serve", "--host", "0.0.0.0"]
