// A solution of every prompt of the code domain in JavaScript, written from the prompts and not from the Python ones:
// they show that the checks can be passed in this language, and the two must agree on every other input.
/* code-001 */ function countVowels (text) { return (text.match(/[aeiou]/gi) || []).length }
/* code-002 */ const sumEven = numbers => numbers.filter(n => n % 2 === 0).reduce((a, b) => a + b, 0)
/* code-003 */ function reverseWords (text) { return text.split(' ').filter(Boolean).reverse().join(' ') }
/* code-004 */ function factorial (n) { return n < 2 ? 1 : n * factorial(n - 1) }
/* code-005 */ function isPalindromeText (text) { const t = text.toLowerCase(); return t === [...t].reverse().join('') }
/* code-006 */ function largest (numbers) { return Math.max(...numbers) }
/* code-007 */ const fizzBuzzList = n => Array.from({ length: n }, (_, i) => (++i % 3 ? '' : 'Fizz') + (i % 5 ? '' : 'Buzz') || String(i))
/* code-008 */ function isLeapYear (year) { return year % 400 === 0 || (year % 4 === 0 && year % 100 !== 0) }
/* code-009 */ function uniqueInOrder (items) { return [...new Set(items)] }
/* code-010 */ const initials = name => name.split(' ').map(w => w.charAt(0).toUpperCase()).join('')
/* code-011 */ const digitSum = n => [...String(n)].reduce((sum, d) => sum + Number(d), 0)
/* code-012 */ const starTriangle = rows => Array.from({ length: rows }, (_, i) => '*'.repeat(i + 1))
/* code-013 */ const longestWord = words => words.reduce((best, w) => w.length > best.length ? w : best, '')
/* code-014 */ function isPrimeNumber (n) { if (n < 2) return false; for (let d = 2; d * d <= n; d++) if (n % d === 0) return false; return true }
/* code-015 */ const countMatches = (items, target) => items.filter(x => x === target).length
/* code-016 */ function fibonacci (n) { let [a, b] = [0, 1]; while (n-- > 0) [a, b] = [b, a + b]; return a }
/* code-017 */ const capitalizeWords = text => text.split(' ').map(w => w.slice(0, 1).toUpperCase() + w.slice(1).toLowerCase()).join(' ')
/* code-018 */ const timesTable = (n, count) => [...Array(count).keys()].map(i => n * (i + 1))
/* code-019 */ const keepPositive = numbers => numbers.filter(x => x > 0)
/* code-020 */ function letterGrade (score) { return score >= 90 ? 'A' : score >= 80 ? 'B' : score >= 70 ? 'C' : score >= 60 ? 'D' : 'F' }
/* code-021 */ function gcd (a, b) { return b ? gcd(b, a % b) : a }
/* code-022 */ const countWords = text => text.split(' ').filter(w => w !== '').length
/* code-023 */ function swapEnds (items) { return items.length < 2 ? items : [items[items.length - 1], ...items.slice(1, -1), items[0]] }
/* code-024 */ const basketTotal = (prices, quantities) => prices.reduce((sum, p, i) => sum + p * quantities[i], 0)
/* code-025 */ function fromRoman (numeral) {
  const value = { I: 1, V: 5, X: 10, L: 50, C: 100, D: 500, M: 1000 }
  return [...numeral].reduce((sum, c, i, all) => sum + (value[c] < (value[all[i + 1]] || 0) ? -value[c] : value[c]), 0)
}
/* code-026 */ function editDistance (first, second) {
  let row = Array.from({ length: second.length + 1 }, (_, i) => i)
  for (let i = 1; i <= first.length; i++) {
    const next = [i]
    for (let j = 1; j <= second.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (first[i - 1] === second[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[second.length]
}
/* code-027 */ function areAnagrams (first, second) {
  const letters = text => [...text.toLowerCase()].filter(c => c !== ' ').sort().join('')
  return letters(first) === letters(second)
}
/* code-028 */ function pathLength (graph, start, goal) {
  const far = new Map([[start, 0]]); const queue = [start]
  while (queue.length) {
    const at = queue.shift()
    if (at === goal) return far.get(at)
    for (const next of graph[at]) if (!far.has(next)) { far.set(next, far.get(at) + 1); queue.push(next) }
  }
  return -1
}
/* code-029 */ function wrapText (text, width) {
  const lines = []
  for (const word of text.split(' ').filter(Boolean)) {
    const last = lines.length - 1
    if (lines.length && lines[last].length + 1 + word.length <= width) lines[last] += ' ' + word
    else lines.push(word)
  }
  return lines
}
/* code-030 */ function expandBrackets (text) {
  const inner = /(\d+)\[([a-z]*)\]/
  while (inner.test(text)) text = text.replace(inner, (_, n, s) => s.repeat(Number(n)))
  return text
}
/* code-031 */ function clockAngle (hour, minute) { const d = Math.abs(30 * (hour % 12) - 5.5 * minute); return Math.min(d, 360 - d) }
/* code-032 */ function commonPrefix (words) {
  if (words.length === 0) return ''
  let n = 0
  while (n < words[0].length && words.every(w => w[n] === words[0][n])) n++
  return words[0].slice(0, n)
}
/* code-033 */ function robotPosition (commands) {
  let [x, y, dx, dy] = [0, 0, 0, 1]
  for (const c of commands) {
    if (c === 'F') { x += dx; y += dy } else if (c === 'L') [dx, dy] = [-dy, dx]; else [dx, dy] = [dy, -dx]
  }
  return [x, y]
}
/* code-034 */ function bestLoad (weights, values, capacity) {
  const best = Array(capacity + 1).fill(0)
  weights.forEach((w, i) => { for (let c = capacity; c >= w; c--) best[c] = Math.max(best[c], best[c - w] + values[i]) })
  return best[capacity]
}
/* code-035 */ function bracketError (text) {
  const open = []; const partner = { ')': '(', ']': '[', '}': '{' }
  for (let i = 0; i < text.length; i++) {
    if ('([{'.includes(text[i])) open.push(text[i])
    else if (text[i] in partner && open.pop() !== partner[text[i]]) return i
  }
  return open.length ? text.length : -1
}
/* code-036 */ function formatDuration (seconds) {
  const two = n => String(n).padStart(2, '0')
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
/* code-037 */ function caesarShift (text, shift) {
  return text.replace(/[a-z]/gi, c => {
    const base = c < 'a' ? 65 : 97
    return String.fromCharCode(base + (((c.charCodeAt(0) - base + shift) % 26) + 26) % 26)
  })
}
/* code-038 */ function buildOrder (n, requirements) {
  const done = []
  while (done.length < n) {
    let next = 0
    while (next < n && (done.includes(next) || requirements.some(([a, b]) => b === next && !done.includes(a)))) next++
    if (next === n) return []
    done.push(next)
  }
  return done
}
/* code-039 */ function coinsFor (cents) { const paid = []; for (const c of [50, 20, 10, 5, 2, 1]) while (cents >= c) { paid.push(c); cents -= c } return paid }
/* code-040 */ function evaluatePostfix (tokens) {
  const stack = []
  const apply = { '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b }
  for (const t of tokens) {
    if (t in apply) { const b = stack.pop(); const a = stack.pop(); stack.push(apply[t](a, b)) } else stack.push(parseInt(t, 10))
  }
  return stack[0]
}
/* code-041 */ function rotateList (items, steps) { const a = items.slice(); if (a.length) for (let i = 0; i < steps % items.length; i++) a.unshift(a.pop()); return a }
/* code-042 */ function longestMirror (text) {
  for (let n = text.length; n > 0; n--) {
    for (let i = 0; i + n <= text.length; i++) {
      const piece = text.slice(i, i + n)
      if (piece === piece.split('').reverse().join('')) return piece
    }
  }
  return ''
}
/* code-043 */ const flatten = nested => nested.flat(Infinity)
/* code-044 */ function checkoutTime (customers, tills) {
  const free = Array(tills).fill(0)
  for (const c of customers) { free.sort((a, b) => a - b); free[0] += c }
  return Math.max(...free)
}
/* code-045 */ function calculate (text) {
  const tokens = text.match(/\d+|[-+*()]/g); let at = 0
  const factor = () => { const t = tokens[at++]; if (t !== '(') return Number(t); const v = sum(); at++; return v }
  const product = () => { let v = factor(); while (tokens[at] === '*') { at++; v *= factor() } return v }
  const sum = () => { let v = product(); while ('+-'.includes(tokens[at] || '?')) v += tokens[at++] === '+' ? product() : -product(); return v }
  return sum()
}
/* code-046 */ function groupDigits (n) { return String(n).replace(/\B(?=(\d{3})+$)/g, ',') }
/* code-047 */ const runLengths = text => text.replace(/(.)\1*/g, run => run[0] + run.length)
/* code-048 */ function twicePolygonArea (points) {
  let area = 0
  for (let i = 0; i < points.length; i++) { const [a, b] = points[i]; const [c, d] = points[(i + 1) % points.length]; area += a * d - b * c }
  return Math.abs(area)
}
/* code-049 */ function longestClimb (heights) {
  const best = []
  heights.forEach((h, i) => { best[i] = 1; for (let j = 0; j < i; j++) if (heights[j] < h) best[i] = Math.max(best[i], best[j] + 1) })
  return Math.max(0, ...best)
}
/* code-050 */ function parseSettings (line) {
  const found = Object.create(null)
  for (const setting of line.split(';')) {
    if (!setting) continue
    const cut = setting.indexOf('=')
    if (cut < 0) found[setting] = ''; else found[setting.slice(0, cut)] = setting.slice(cut + 1)
  }
  return found
}
/* code-051 */ const mergeSorted = (left, right) => [...left, ...right].sort((a, b) => a - b)
/* code-052 */ function groupSizes (n, links) {
  let circle = [...Array(n).keys()]
  for (const [a, b] of links) { const [from, to] = [circle[a], circle[b]]; circle = circle.map(c => c === from ? to : c) }
  const sizes = {}
  for (const c of circle) sizes[c] = (sizes[c] || 0) + 1
  return Object.values(sizes).sort((a, b) => b - a)
}
/* code-053 */ function knightMoves (start, goal) {
  let [squares, moves] = [new Set([start]), 0]
  for (; !squares.has(goal); moves++) {
    const next = new Set(squares)
    for (const s of squares) {
      for (const [dx, dy] of [[1, 2], [2, 1], [-1, 2], [-2, 1], [1, -2], [2, -1], [-1, -2], [-2, -1]]) {
        const [x, y] = [s.charCodeAt(0) - 97 + dx, Number(s[1]) - 1 + dy]
        if (x >= 0 && x < 8 && y >= 0 && y < 8) next.add('abcdefgh'[x] + (y + 1))
      }
    }
    squares = next
  }
  return moves
}
/* code-054 */ function lastStanding (n, k) {
  const circle = Array.from({ length: n }, (_, i) => i + 1); let at = 0
  while (circle.length > 1) { at = (at + k - 1) % circle.length; circle.splice(at, 1) }
  return circle[0]
}
/* code-055 */ function chunkList (items, size) { const out = []; for (let i = 0; i < items.length; i += size) out.push(items.slice(i, i + size)); return out }
/* code-056 */ function taxInCents (income, bands) {
  return bands.reduce((tax, [start, percent], i) => {
    const end = i + 1 < bands.length ? Math.min(bands[i + 1][0], income) : income
    return tax + Math.max(0, end - start) * percent
  }, 0)
}
/* code-057 */ function splitFields (line) {
  const fields = ['']; let quoted = false
  for (let i = 0; i < line.length; i++) {
    const last = fields.length - 1
    if (quoted && line[i] === '"' && line[i + 1] === '"') { fields[last] += '"'; i++ } else if (line[i] === '"') quoted = !quoted
    else if (line[i] === ',' && !quoted) fields.push(''); else fields[last] += line[i]
  }
  return fields
}
/* code-058 */ function sortByFrequency (numbers) {
  const count = new Map()
  for (const n of numbers) count.set(n, (count.get(n) ?? 0) + 1)
  return [...numbers].sort((a, b) => count.get(b) - count.get(a) || a - b)
}
/* code-059 */ function longestFreshRun (text) {
  let best = 0
  for (let i = 0; i < text.length; i++) { const seen = new Set(); let j = i; while (j < text.length && !seen.has(text[j])) seen.add(text[j++]); best = Math.max(best, j - i) }
  return best
}
/* code-060 */ const boundingBox = points => { const xs = points.map(p => p[0]); const ys = points.map(p => p[1]); return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)] }
/* code-061 */ function largestSquare (grid) {
  const full = (r, c, n) => { for (let i = r; i < r + n; i++) if (grid[i].slice(c, c + n) !== '#'.repeat(n)) return false; return true }
  for (let n = Math.min(grid.length, (grid[0] || '').length); n > 0; n--) {
    for (let r = 0; r + n <= grid.length; r++) for (let c = 0; c + n <= grid[0].length; c++) if (full(r, c, n)) return n
  }
  return 0
}
/* code-062 */ function summarizePages (pages) {
  const ranges = []
  for (const p of pages) { const r = ranges[ranges.length - 1]; if (r && r[1] === p - 1) r[1] = p; else ranges.push([p, p]) }
  return ranges.map(([a, b]) => a === b ? `${a}` : `${a}-${b}`).join(', ')
}
/* code-063 */ function blackjackValue (cards) {
  let total = 0; let aces = 0
  for (const c of cards) { if (c === 'A') { aces++; total += 11 } else total += 'JQK'.includes(c) ? 10 : Number(c) }
  while (total > 21 && aces-- > 0) total -= 10
  return total
}
/* code-064 */ function cheapestRoute (n, roads, start, goal) {
  const cost = Array(n).fill(Infinity); cost[start] = 0
  for (let i = 0; i < n; i++) for (const [a, b, t] of roads) { cost[a] = Math.min(cost[a], cost[b] + t); cost[b] = Math.min(cost[b], cost[a] + t) }
  return cost[goal] === Infinity ? -1 : cost[goal]
}
/* code-065 */ function collatzSteps (n) { let steps = 0; for (; n !== 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2; return steps }
/* code-066 */ function towerMoves (n, source, target) {
  if (n === 0) return []
  const spare = 6 - source - target
  return [...towerMoves(n - 1, source, spare), [source, target], ...towerMoves(n - 1, spare, target)]
}
/* code-067 */ const daysBetween = (start, end) => Math.round((Date.parse(end + 'T00:00:00Z') - Date.parse(start + 'T00:00:00Z')) / 86400000)
/* code-068 */ function paymentWays (coins, amount) {
  const ways = [1, ...Array(amount).fill(0)]
  for (const c of coins) for (let a = c; a <= amount; a++) ways[a] += ways[a - c]
  return ways[amount]
}
/* code-069 */ function lifeStep (grid) {
  const lives = (r, c) => (grid[r] || '')[c] === '#' ? 1 : 0
  return grid.map((row, r) => [...row].map((_, c) => {
    let around = -lives(r, c)
    for (let i = r - 1; i <= r + 1; i++) for (let j = c - 1; j <= c + 1; j++) around += lives(i, j)
    return around === 3 || (around === 2 && lives(r, c)) ? '#' : '.'
  }).join(''))
}
/* code-070 */ const rpsScore = rounds => rounds.reduce((s, r) => s + (['RS', 'SP', 'PR'].includes(r) ? 1 : r[0] === r[1] ? 0 : -1), 0)
/* code-071 */ function latestVersion (versions) {
  const above = (a, b) => {
    const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)]
    for (let i = 0; i < Math.max(x.length, y.length); i++) { const d = (x[i] || 0) - (y[i] || 0); if (d) return d > 0 }
    return false
  }
  return versions.reduce((best, v) => above(v, best) ? v : best)
}
/* code-072 */ function countInversions (numbers) { let n = 0; numbers.forEach((x, i) => numbers.slice(i + 1).forEach(y => { if (x > y) n++ })); return n }
/* code-073 */ function slidingMaximum (numbers, width) { const out = []; for (let i = 0; i + width <= numbers.length; i++) out.push(Math.max(...numbers.slice(i, i + width))); return out }
/* code-074 */ const toBinary = n => n.toString(2)
/* code-075 */ function groupAnagrams (words) {
  const groups = new Map()
  for (const w of words) { const key = w.split('').sort().join(''); if (!groups.has(key)) groups.set(key, []); groups.get(key).push(w) }
  return [...groups.values()]
}
/* code-076 */ function trappedWater (heights) {
  return heights.reduce((sum, h, i) => sum + Math.min(Math.max(...heights.slice(0, i + 1)), Math.max(...heights.slice(i))) - h, 0)
}
/* code-077 */ function gridPaths (grid) {
  const go = (r, c) => r >= grid.length || c >= grid[0].length || grid[r][c] === '#' ? 0 : r === grid.length - 1 && c === grid[0].length - 1 ? 1 : go(r + 1, c) + go(r, c + 1)
  return go(0, 0)
}
/* code-078 */ function numberWords (n) {
  const small = 'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(' ')
  const tens = '- - twenty thirty forty fifty sixty seventy eighty ninety'.split(' ')
  if (n < 20) return small[n]
  if (n < 100) return tens[Math.trunc(n / 10)] + (n % 10 ? '-' + small[n % 10] : '')
  return small[Math.trunc(n / 100)] + ' hundred' + (n % 100 ? ' ' + numberWords(n % 100) : '')
}
/* code-079 */ function runningTotals (numbers) { let sum = 0; return numbers.map(n => (sum += n)) }
/* code-080 */ function networkCost (n, cables) {
  const root = [...Array(n).keys()]; let cost = 0; let parts = n
  const find = x => { while (root[x] !== x) x = root[x]; return x }
  for (const [a, b, price] of [...cables].sort((x, y) => x[2] - y[2])) {
    const [p, q] = [find(a), find(b)]
    if (p !== q) { root[p] = q; cost += price; parts-- }
  }
  return parts === 1 ? cost : -1
}
/* code-081 */ function countSubsets (numbers, target) {
  const [first, ...rest] = numbers
  return numbers.length ? countSubsets(rest, target) + countSubsets(rest, target - first) : Number(target === 0)
}
/* code-082 */ function countIslands (grid) {
  const cells = grid.map(row => [...row]); let n = 0
  const sink = (r, c) => { if (cells[r]?.[c] !== '#') return; cells[r][c] = '.'; sink(r + 1, c); sink(r - 1, c); sink(r, c + 1); sink(r, c - 1) }
  cells.forEach((row, r) => row.forEach((_, c) => { if (cells[r][c] === '#') { n++; sink(r, c) } }))
  return n
}
/* code-083 */ function countSplits (text, words) {
  const ways = [1]
  for (let i = 1; i <= text.length; i++) ways[i] = words.reduce((n, w) => n + (i >= w.length && text.startsWith(w, i - w.length) ? ways[i - w.length] : 0), 0)
  return ways[text.length]
}
/* code-084 */ function electionWinner (votes) {
  const count = {}
  for (const v of votes) count[v] = (count[v] || 0) + 1
  return Object.keys(count).sort().reduce((best, name) => count[name] > (count[best] || 0) ? name : best, '')
}
/* code-085 */ function mergeIntervals (intervals) {
  const out = []
  for (const [a, b] of [...intervals].sort((x, y) => x[0] - y[0])) {
    const last = out[out.length - 1]
    if (last && a <= last[1]) last[1] = Math.max(last[1], b); else out.push([a, b])
  }
  return out
}
/* code-086 */ const differingBits = (a, b) => [...(a ^ b).toString(2)].filter(d => d === '1').length
/* code-087 */ function bowlingScore (rolls) {
  let [score, at] = [0, 0]
  for (let frame = 0; frame < 10; frame++) {
    if (rolls[at] === 10) { score += 10 + rolls[at + 1] + rolls[at + 2]; at++ } else {
      const pins = rolls[at] + rolls[at + 1]
      score += pins === 10 ? 10 + rolls[at + 2] : pins
      at += 2
    }
  }
  return score
}
/* code-088 */ const weekdayName = date => ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'][new Date(date + 'T12:00:00Z').getUTCDay()]
/* code-089 */ function splitBill (cents, people) { return Array.from({ length: people }, (_, i) => Math.floor(cents / people) + (i < cents % people ? 1 : 0)) }
/* code-090 */ const rankScores = scores => { const sorted = [...scores].sort((a, b) => b - a); return scores.map(s => sorted.indexOf(s) + 1) }
/* code-091 */ function projectDays (durations, dependencies) {
  const end = i => durations[i] + Math.max(0, ...dependencies.filter(d => d[1] === i).map(d => end(d[0])))
  return Math.max(0, ...durations.map((_, i) => end(i)))
}
/* code-092 */ const fillTemplate = (template, values) => template.replace(/\{([a-z]+)\}/g, (whole, name) => Object.hasOwn(values, name) ? values[name] : whole)
/* code-093 */ const listChanges = (before, after) => [after.filter(x => !before.includes(x)), before.filter(x => !after.includes(x))]
/* code-094 */ function runAccount (commands) {
  let [balance, refused] = [0, 0]; const past = []
  for (const command of commands) {
    const [word, n] = command.split(' ')
    const change = word === 'undo' ? -past[past.length - 1] : word === 'deposit' ? Number(n) : -Number(n)
    if (word === 'undo') { if (past.length) { balance += change; past.pop() } else refused++ } else if (balance + change < 0) refused++
    else { balance += change; past.push(change) }
  }
  return [balance, refused]
}
/* code-095 */ function jugSteps (first, second, target) {
  let states = [[0, 0]]; const seen = new Set(['0,0'])
  for (let steps = 0; states.length; steps++) {
    if (states.some(s => s.includes(target))) return steps
    const next = []
    for (const [a, b] of states) {
      const [right, left] = [Math.min(a, second - b), Math.min(b, first - a)]
      for (const s of [[first, b], [a, second], [0, b], [a, 0], [a - right, b + right], [a + left, b - left]]) {
        if (!seen.has(String(s))) { seen.add(String(s)); next.push(s) }
      }
    }
    states = next
  }
  return -1
}
/* code-096 */ function letterOrders (text) {
  if (text === '') return ['']
  const found = new Set()
  for (let i = 0; i < text.length; i++) for (const rest of letterOrders(text.slice(0, i) + text.slice(i + 1))) found.add(text[i] + rest)
  return [...found].sort()
}
/* code-097 */ function alignColumns (rows) {
  const widths = (rows[0] || []).map((_, c) => Math.max(...rows.map(r => r[c].length)))
  return rows.map(r => r.map((cell, c) => cell.padStart(widths[c])).join(' '))
}
/* code-098 */ function addMinutes (time, minutes) {
  const [h, m] = time.split(':').map(Number)
  const t = (((h * 60 + m + minutes) % 1440) + 1440) % 1440
  return [Math.floor(t / 60), t % 60].map(n => String(n).padStart(2, '0')).join(':')
}
/* code-099 */ function fenceCorners (posts) {
  const sorted = [...posts].sort((p, q) => p[0] - q[0] || p[1] - q[1])
  const half = points => {
    const hull = []
    for (const [x, y] of points) {
      for (;;) {
        const [p, q] = hull.slice(-2)
        if (!q || (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 0) break
        hull.pop()
      }
      hull.push([x, y])
    }
    return hull
  }
  const all = [...half(sorted), ...half([...sorted].reverse())].map(p => p.join())
  return [...new Set(all)].map(p => p.split(',').map(Number)).sort((p, q) => p[0] - q[0] || p[1] - q[1])
}
/* code-100 */ const addDigitStrings = (a, b) => String(BigInt(a) + BigInt(b))
