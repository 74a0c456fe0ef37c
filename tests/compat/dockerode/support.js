'use strict';
// What the suites of dockerode share. The engine is the one of DOCKER_HOST; the image `payload` is loaded already.

const { test, afterEach } = require('node:test');
const assert = require('node:assert');
const { PassThrough } = require('node:stream');
const Docker = require('dockerode');

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });
const image = 'payload:latest';
const made = [];

/** A container that is not started; it goes with the test. */
async function create(command, options = {}) {
  const { HostConfig = {}, ...rest } = options;
  const container = await docker.createContainer({
    Image: image,
    Cmd: command,
    HostConfig: { NetworkMode: 'none', ...HostConfig },
    ...rest,
  });
  made.push(container);
  return container;
}

async function start(command, options) {
  const container = await create(command, options);
  await container.start();
  return container;
}

afterEach(async () => {
  for (const container of made.splice(0)) {
    await container.remove({ force: true, v: true }).catch((error) => {
      if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
    });
  }
});

/** Everything of a readable stream. */
async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts.map((part) => Buffer.from(part))).toString();
}

/** Both halves of a multiplexed stream, at its end. */
async function split(stream) {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => {
    out.end();
    err.end();
  });
  return Promise.all([text(out), text(err)]);
}

/** What a log or exec buffer of frames says on both streams. */
function frames(buffer) {
  const out = ['', '', ''];
  for (let at = 0; at < buffer.length; ) {
    const size = buffer.readUInt32BE(at + 4);
    out[buffer[at]] += buffer.toString('utf8', at + 8, at + 8 + size);
    at += 8 + size;
  }
  return [out[1], out[2]];
}

function statusIs(code) {
  return (error) => {
    assert.strictEqual(error.statusCode, code, error.message);
    return true;
  };
}

module.exports = { assert, create, docker, frames, image, split, start, statusIs, test, text };
