// The Vercel AI SDK on chat completions: its OpenAI-compatible provider, and `.chat()` of its OpenAI provider.
import { createRequire } from "node:module";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, isStepCount, Output, RetryError, streamText, tool } from "ai";
import { z } from "zod";

const settings = { baseURL: `${process.env.GATE_URL}/v1`, apiKey: process.env.GATE_KEY };
const gate = createOpenAICompatible({ ...settings, name: "gate", includeUsage: true, supportsStructuredOutputs: true });
const openai = createOpenAI(settings);
const prompt = "hello there";

async function streamed(model) {
  const { textStream, usage } = streamText({ model, prompt });
  let text = "";
  for await (const piece of textStream) text += piece;
  return [text, (await usage).totalTokens];
}

async function withTool(generate) {
  const execute = async ({ query }) => `found ${query}`;
  const look_up = tool({ inputSchema: z.object({ query: z.string() }), execute });
  return (await generate({ model: gate("tools"), prompt, tools: { look_up }, stopWhen: isStepCount(3) })).text;
}

async function structured() {
  const schema = z.object({ name: z.string(), age: z.number() });
  return (await generateText({ model: gate("facts"), prompt, output: Output.object({ schema }) })).output;
}

async function refused(model) {
  try {
    await generateText({ model, prompt });
  } catch (error) {
    const last = RetryError.isInstance(error) ? error.lastError : error;
    if (!APICallError.isInstance(last)) throw error;
    return [error.name, last.statusCode, last.data.error.code];
  }
}

const plain = await generateText({ model: gate("assistant"), prompt });
const seen = {
  version: createRequire(`${process.cwd()}/`)("ai/package.json").version,
  chat: [plain.text, plain.usage.totalTokens],
  stream: await streamed(gate("assistant")),
  tool: await withTool(generateText),
  tool_stream: await withTool(streamText),
  structured: await structured(),
  embeddings: (await embedMany({ model: gate.embeddingModel("search"), values: ["a", "b"] })).embeddings,
  refused: await refused(gate("spent")),
  unknown: await refused(gate("nothing")),
  openai_chat: (await generateText({ model: openai.chat("assistant"), prompt })).text,
  openai_chat_stream: await streamed(openai.chat("assistant")),
};
console.log(JSON.stringify(seen));
