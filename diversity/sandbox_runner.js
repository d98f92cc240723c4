// The side of the sandbox that a JavaScript program shares: load the program, call its function, say what it returned.
//
// sandbox_runner.py has confined this process before node began; it started with nothing but its job. What follows
// shares the process with foreign code, which may replace any function of any object, so that those needed afterwards
// are held by name here, and no method of a value is called. A program that goes further and writes its own results
// can only claim values, as it could by returning them: what is right is not known in here.
'use strict'

const fs = require('fs')
const vm = require('vm')
const { types } = require('util')

const ONE_VALUE = 200000 // characters, parts and levels of one returned value, as in sandbox_runner.py
const NODES = 100000
const DEPTH = 60
const RESULT = 3

const { apply, getPrototypeOf, getOwnPropertyDescriptor } = Reflect
const { parse, stringify } = JSON
const { isArray } = Array
const { keys, prototype: PLAIN } = Object
const { isProxy, isMap, isSet, isTypedArray } = types
const { writeSync } = fs
const charCodeAt = String.prototype.charCodeAt
const slice = String.prototype.slice
const digits = BigInt.prototype.toString
const inHex = Number.prototype.toString
const eachOfMap = Map.prototype.forEach
const eachOfSet = Set.prototype.forEach
const lengthOf = getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), 'length').get
const exit = process.reallyExit.bind(process, 0)
const TooLarge = {}

const job = parse(fs.readFileSync('job.json', 'utf8'))
fs.unlinkSync('job.json')
for (const name of keys(process.env)) delete process.env[name]
const { nonce, entry_point: entry, calls } = job
const code = job.code.replace(/^#!.*/, '')
delete job.nonce

function say (line) {
  let rest = `${nonce} ${ascii(line)}\n`
  while (rest) rest = apply(slice, rest, [writeSync(RESULT, rest)])
}

// JSON keeps other letters as they are; a line of results has none.
function ascii (text) {
  let found = ''
  for (let i = 0; i < text.length; i++) {
    const number = apply(charCodeAt, text, [i])
    found += number < 0x7f ? text[i] : '\\u' + apply(slice, '000' + apply(inHex, number, [16]), [-4])
  }
  return found
}

// Name of a value's class, in one line.
function nameOf (value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return typeof value
  if (isProxy(value)) return 'Proxy'
  let found = typeof value === 'function' ? 'Function' : 'Object'
  const above = getPrototypeOf(value)
  const maker = above !== null && !isProxy(above) ? getOwnPropertyDescriptor(above, 'constructor') : undefined
  if (maker !== undefined && typeof maker.value === 'function' && !isProxy(maker.value)) {
    const name = getOwnPropertyDescriptor(maker.value, 'name')
    if (name !== undefined && typeof name.value === 'string') found = apply(slice, name.value, [0, 60])
  }
  return apply(slice, stringify(found), [1, -1])
}

// Write a returned value as sandbox_runner.py writes Python's: by its class, never by its own methods.
function encode (value) {
  let nodes = 0

  function list (length, of, level) {
    let found = ''
    for (let i = 0; i < length; i++) found += (i ? ',' : '') + text(of[i], level + 1)
    return `[${found}]`
  }

  function text (value, level) {
    if (++nodes > NODES || level > DEPTH) throw TooLarge
    switch (typeof value) {
      case 'boolean': return value ? 'true' : 'false'
      case 'string':
        nodes += value.length / 8
        return stringify(value)
      case 'number':
        if (value - value !== 0) return `{"float":"${value !== value ? 'nan' : value > 0 ? 'inf' : '-inf'}"}` // eslint-disable-line no-self-compare
        return `${value}`
      case 'bigint': { // the whole number that it is
        const hex = apply(digits, value, [16])
        return hex.length <= 1000 ? `${value}` : `{"int":"${hex}"}`
      }
    }
    if (value === null) return 'null'
    if (typeof value !== 'object' || isProxy(value)) return `{"other":"${nameOf(value)}"}`
    if (isArray(value)) return list(value.length, value, level)
    if (isTypedArray(value)) return list(apply(lengthOf, value, []), value, level)
    let found = ''
    if (isSet(value)) {
      apply(eachOfSet, value, [(member) => { found += (found && ',') + text(member, level + 1) }])
      return `{"set":[${found}]}`
    }
    if (isMap(value)) {
      apply(eachOfMap, value, [(item, key) => {
        found += `${found && ','}[${text(key, level + 1)},${text(item, level + 1)}]`
      }])
      return `{"map":[${found}]}`
    }
    const above = getPrototypeOf(value)
    if (above !== PLAIN && above !== null) return `{"other":"${nameOf(value)}"}`
    const names = keys(value)
    for (let i = 0; i < names.length; i++) {
      found += `${i ? ',' : ''}[${text(names[i], level + 1)},${text(value[names[i]], level + 1)}]`
    }
    return `{"dict":[${found}]}`
  }

  try {
    const line = text(value, 0)
    if (line.length <= ONE_VALUE) return line
  } catch (error) {
    if (error !== TooLarge) throw error
  }
  return '{"too large": true}'
}

function load () {
  const inside = `(function (exports, require, module, __filename, __dirname) {${code}\n` +
    `;return typeof ${entry} === 'undefined' ? undefined : ${entry}\n})`
  const module = { exports: {} }
  const found = new vm.Script(inside, { filename: 'program.js' }).runInThisContext()(
    module.exports, require, module, 'program.js', '.')
  if (typeof found === 'function') return found
  const given = module.exports
  return typeof given === 'function' && given.name === entry ? given : given[entry]
}

// A program with `export` or `import` is a module of the newer kind, which is loaded from a file.
async function loadModule () {
  fs.writeFileSync('program.mjs', `${code}\nexport { ${entry} as entryPointOfTheProgram }\n`)
  try {
    return (await import(`file://${process.cwd()}/program.mjs`)).entryPointOfTheProgram
  } catch (error) {
    if (error instanceof SyntaxError && /^Export '.*' is not defined/.test(error.message)) return undefined
    throw error
  } finally {
    fs.unlinkSync('program.mjs')
  }
}

function serve (called) {
  if (typeof called !== 'function') {
    say('missing')
    exit()
  }
  say('loaded')
  for (let i = 0; i < calls.length; i++) {
    let line
    try {
      line = `returned ${encode(apply(called, undefined, parse(calls[i])))}`
    } catch (error) {
      line = `raised ${nameOf(error)}`
    }
    say(line)
  }
  say('done')
  exit()
}

function refuse (error) {
  say(`load ${nameOf(error)}`)
  exit()
}

const isModule = /^[ \t]*(?:export|import)\b(?![ \t]*\()/m.test(code)
let called
try {
  called = load()
} catch (error) {
  if (!(isModule && error instanceof SyntaxError)) refuse(error)
  called = null
}
if (called === null) loadModule().then(serve, refuse)
else serve(called)
