// The Vercel AI SDK with its OpenAI provider as it is by default: on the Responses API.
import { createRequire } from "node:module";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, isStepCount, Output, RetryError, streamText, tool } from "ai";
import { z } from "zod";

const gate = createOpenAI({ baseURL: `${process.env.GATE_URL}/v1`, apiKey: process.env.GATE_KEY });
const prompt = "hello there";

async function streamed() {
  const { textStream, usage } = streamText({ model: gate("assistant"), prompt });
  let text = "";
  for await (const piece of textStream) text += piece;
  return [text, (await usage).totalTokens];
}

// What the model says when it has the tool's result.
async function withTool(generate) {
  const execute = async ({ query }) => `found ${query}`;
  const look_up = tool({ inputSchema: z.object({ query: z.string() }), execute });
  return (await generate({ model: gate("tools"), prompt, tools: { look_up }, stopWhen: isStepCount(3) })).text;
}

async function structured() {
  const schema = z.object({ name: z.string(), age: z.number() });
  return (await generateText({ model: gate("facts"), prompt, output: Output.object({ schema }) })).output;
}

// The first reply goes back with the second question: by reference unless `store` is false.
async function conversation(store) {
  const providerOptions = store === undefined ? {} : { openai: { store } };
  const asked = [{ role: "user", content: prompt }];
  const { responseMessages } = await generateText({ model: gate("assistant"), messages: asked, providerOptions });
  const messages = [...asked, ...responseMessages, { role: "user", content: "and now?" }];
  return (await generateText({ model: gate("assistant"), messages, providerOptions })).text;
}

async function refused(ask) {
  try {
    return await ask();
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
  stream: await streamed(),
  tool: await withTool(generateText),
  tool_stream: await withTool(streamText),
  structured: await structured(),
  conversation: await conversation(false),
  refused: await refused(() => generateText({ model: gate("spent"), prompt })),
  unknown: await refused(() => generateText({ model: gate("nothing"), prompt })),
  by_reference: await refused(() => conversation()),
};
console.log(JSON.stringify(seen));
