# acdit serve in a container:
#
#     docker build -t acdit . && docker run -p 8000:8000 acdit
FROM node:22-slim AS build
WORKDIR /app
COPY . .
RUN npm ci && npm run --silent pack

FROM node:22-slim
WORKDIR /app
COPY --from=build /app/acdit-*.tgz ./
RUN npm init -y >/dev/null && ONNXRUNTIME_NODE_INSTALL=skip npm install --no-audit --no-fund ./acdit-*.tgz && rm acdit-*.tgz
USER node
EXPOSE 8000
ENTRYPOINT ["npx", "--no-install", "acdit"]
CMD ["serve", "--host", "0.0.0.0"]
