;; The exact scan: dot products of one query with many int8 rows, the best candidates kept in a heap.
;; node scripts/build-kernel.mjs turns this into kernel.gen.ts. The places in memory are those of row-layout.ts.
;;
;;        0  query     4,096 × i16, zero beyond the dimensions
;;    8,192  scores    4,096 × f32 ┐ a binary heap, the worst candidate at its root:
;;   24,576  slots     4,096 × u32 ┘ worse is a lower score, at equal scores the higher slot
;;   40,960  list     16,384 × u32, the rows that `pick` looks at
;;  131,072  rows      each `stride` bytes: the values; at its end the lengths (f32) of what is behind its first and its second part, and
;;                     the scale (f32); a scale of 0 is an empty row
;;
;; Values are compared in three parts. What is left of a row adds at most the length of that, times the query's, to its dot product; where
;; even so it would not be among the best, it is left there. The bound is a whole number no smaller than the dot product, and scored like
;; one, so that nothing is lost by it.
;;
;; `cosine` compares whole vectors, and `quantise` makes them rows; theirs are memories of their own.
;;
;; A row's score is dot(query, row) × scale, in f32; the query's own scale changes no order and stays outside.
;; The query has 12 bits, so that 4,096 dimensions stay below 2^31. Both functions return the new size of the heap.
(module
  (import "host" "memory" (memory 2))

  ;; What a candidate must beat.
  (func $bar (param $size i32) (param $count i32) (result f32)
    (if (result f32) (i32.lt_u (local.get $size) (local.get $count))
      (then (f32.const -inf))
      (else (f32.load (i32.const 8192)))))

  ;; Into the heap, if there is room or it is better than the root. Everything is written out: a call costs more than what it would do.
  (func $offer (param $score f32) (param $slot i32) (param $size i32) (param $count i32) (result i32)
    (local $at i32) (local $next i32) (local $end i32) (local $other f32) (local $right f32)
    (if (i32.lt_u (local.get $size) (local.get $count))
      (then
        ;; Up from the end, past all that are better.
        (local.set $at (i32.shl (local.get $size) (i32.const 2)))
        (block $placed
          (loop $up
            (br_if $placed (i32.eqz (local.get $at)))
            (local.set $next (i32.and (i32.shr_u (i32.sub (local.get $at) (i32.const 4)) (i32.const 1)) (i32.const -4)))
            (local.set $other (f32.load offset=8192 (local.get $next)))
            (br_if $placed (f32.gt (local.get $score) (local.get $other)))
            (if (f32.eq (local.get $score) (local.get $other))
              (then (br_if $placed (i32.le_u (local.get $slot) (i32.load offset=24576 (local.get $next))))))
            (f32.store offset=8192 (local.get $at) (local.get $other))
            (i32.store offset=24576 (local.get $at) (i32.load offset=24576 (local.get $next)))
            (local.set $at (local.get $next))
            (br $up)))
        (f32.store offset=8192 (local.get $at) (local.get $score))
        (i32.store offset=24576 (local.get $at) (local.get $slot))
        (return (i32.add (local.get $size) (i32.const 1)))))
    (local.set $other (f32.load (i32.const 8192)))
    (if (i32.eqz (f32.gt (local.get $score) (local.get $other)))
      (then
        (if (f32.lt (local.get $score) (local.get $other)) (then (return (local.get $size))))
        (if (i32.ge_u (local.get $slot) (i32.load (i32.const 24576))) (then (return (local.get $size))))))
    ;; In place of the root, and down past all that are worse.
    (local.set $end (i32.shl (local.get $size) (i32.const 2)))
    (block $placed
      (loop $down
        (local.set $next (i32.add (i32.shl (local.get $at) (i32.const 1)) (i32.const 4)))
        (br_if $placed (i32.ge_u (local.get $next) (local.get $end)))
        (local.set $other (f32.load offset=8192 (local.get $next)))
        (if (i32.lt_u (i32.add (local.get $next) (i32.const 4)) (local.get $end))
          (then
            ;; The worse of two; which of them cannot be foretold, so nothing branches.
            (local.set $right (f32.load offset=8196 (local.get $next)))
            (local.set $next (i32.add (local.get $next) (i32.shl
              (i32.or
                (f32.lt (local.get $right) (local.get $other))
                (i32.and
                  (f32.eq (local.get $right) (local.get $other))
                  (i32.gt_u (i32.load offset=24580 (local.get $next)) (i32.load offset=24576 (local.get $next)))))
              (i32.const 2))))
            (local.set $other (f32.load offset=8192 (local.get $next)))))
        (br_if $placed (f32.gt (local.get $other) (local.get $score)))
        (if (f32.eq (local.get $other) (local.get $score))
          (then (br_if $placed (i32.le_u (i32.load offset=24576 (local.get $next)) (local.get $slot)))))
        (f32.store offset=8192 (local.get $at) (local.get $other))
        (i32.store offset=24576 (local.get $at) (i32.load offset=24576 (local.get $next)))
        (local.set $at (local.get $next))
        (br $down)))
    (f32.store offset=8192 (local.get $at) (local.get $score))
    (i32.store offset=24576 (local.get $at) (local.get $slot))
    (local.get $size))

  (func $sum (param $v v128) (result i32)
    (local.set $v (i32x4.add (local.get $v)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))
    (i32.add (i32x4.extract_lane 0 (local.get $v)) (i32x4.extract_lane 1 (local.get $v))))

  ;; `bytes` is a multiple of 16.
  (func $dot (param $row i32) (param $bytes i32) (result i32)
    (local $query i32) (local $end i32) (local $a v128) (local $b v128)
    (local.set $end (i32.add (local.get $row) (local.get $bytes)))
    (loop $more
      (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
        (v128.load8x8_s (local.get $row)) (v128.load (local.get $query)))))
      (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
        (v128.load8x8_s offset=8 (local.get $row)) (v128.load offset=16 (local.get $query)))))
      (local.set $query (i32.add (local.get $query) (i32.const 32)))
      (local.set $row (i32.add (local.get $row) (i32.const 16)))
      (br_if $more (i32.lt_u (local.get $row) (local.get $end))))
    (call $sum (i32x4.add (local.get $a) (local.get $b))))

  ;; The scores of four rows in one reading of the query, lane n that of row n; -inf for all of them where none can be as good as the bar.
  ;; `tail` is where a row has its scale.
  (func $scores (param $row i32) (param $row1 i32) (param $row2 i32) (param $row3 i32) (param $tail i32)
                (param $first i32) (param $half i32) (param $bytes i32) (param $length f32) (param $length2 f32) (param $bar f32) (result v128)
    (local $at i32) (local $end i32) (local $place i32) (local $q v128) (local $scales v128) (local $sums v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $e v128) (local $f v128)
    (local.set $scales
      (v128.load32_lane 3 (i32.add (local.get $row3) (local.get $tail))
        (v128.load32_lane 2 (i32.add (local.get $row2) (local.get $tail))
          (v128.load32_lane 1 (i32.add (local.get $row1) (local.get $tail))
            (v128.load32_zero (i32.add (local.get $row) (local.get $tail)))))))
    (local.set $end (local.get $first))
    (local.set $place (i32.const 8))
    (loop $part
      (loop $more
        (local.set $q (v128.load (i32.shl (local.get $at) (i32.const 1))))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.load8x8_s (i32.add (local.get $row) (local.get $at))) (local.get $q))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
          (v128.load8x8_s (i32.add (local.get $row1) (local.get $at))) (local.get $q))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
          (v128.load8x8_s (i32.add (local.get $row2) (local.get $at))) (local.get $q))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
          (v128.load8x8_s (i32.add (local.get $row3) (local.get $at))) (local.get $q))))
        (local.set $q (v128.load offset=16 (i32.shl (local.get $at) (i32.const 1))))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.load8x8_s offset=8 (i32.add (local.get $row) (local.get $at))) (local.get $q))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
          (v128.load8x8_s offset=8 (i32.add (local.get $row1) (local.get $at))) (local.get $q))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
          (v128.load8x8_s offset=8 (i32.add (local.get $row2) (local.get $at))) (local.get $q))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
          (v128.load8x8_s offset=8 (i32.add (local.get $row3) (local.get $at))) (local.get $q))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
      ;; Turned round.
      (local.set $e (i32x4.add
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c))))
      (local.set $f (i32x4.add
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $b) (local.get $d))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $b) (local.get $d))))
      (local.set $sums (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $e) (local.get $f))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $e) (local.get $f))))
      (if (i32.lt_u (local.get $end) (local.get $bytes))
        (then
          (if (v128.any_true (f32x4.ge
                (f32x4.mul
                  (f32x4.convert_i32x4_s (i32x4.add
                    (i32x4.add (local.get $sums) (i32x4.splat (i32.const 1)))
                    (i32x4.trunc_sat_f32x4_s (f32x4.mul
                      (v128.load32_lane 3 (i32.sub (i32.add (local.get $row3) (local.get $tail)) (local.get $place))
                        (v128.load32_lane 2 (i32.sub (i32.add (local.get $row2) (local.get $tail)) (local.get $place))
                          (v128.load32_lane 1 (i32.sub (i32.add (local.get $row1) (local.get $tail)) (local.get $place))
                            (v128.load32_zero (i32.sub (i32.add (local.get $row) (local.get $tail)) (local.get $place))))))
                      (f32x4.splat (local.get $length))))))
                  (local.get $scales))
                (f32x4.splat (local.get $bar))))
            (then
              (local.set $end (select (local.get $half) (local.get $bytes) (i32.eq (local.get $end) (local.get $first))))
              (local.set $place (i32.const 4))
              (local.set $length (local.get $length2))
              (br $part)))
          (return (f32x4.splat (f32.const -inf))))))
    (f32x4.mul (f32x4.convert_i32x4_s (local.get $sums)) (local.get $scales)))

  ;; The lengths of a row that was written, a little longer than they are.
  (func (export "measure") (param $row i32) (param $first i32) (param $half i32) (param $bytes i32) (param $stride i32)
    (local $at i32) (local $to i32) (local $values v128) (local $a v128) (local $b v128) (local $squares i32) (local $place i32)
    (if (i32.ge_u (local.get $first) (local.get $bytes)) (then (return)))
    (local.set $at (local.get $half))
    (local.set $to (local.get $bytes))
    (local.set $place (i32.sub (i32.add (local.get $row) (local.get $stride)) (i32.const 8)))
    (loop $part
      (local.set $a (v128.const i32x4 0 0 0 0))
      (local.set $b (v128.const i32x4 0 0 0 0))
      (loop $more
        (local.set $values (v128.load8x8_s (i32.add (local.get $row) (local.get $at))))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s (local.get $values) (local.get $values))))
        (local.set $values (v128.load8x8_s offset=8 (i32.add (local.get $row) (local.get $at))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (local.get $values) (local.get $values))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $more (i32.lt_u (local.get $at) (local.get $to))))
      (local.set $squares (i32.add (local.get $squares) (call $sum (i32x4.add (local.get $a) (local.get $b)))))
      (f32.store (local.get $place)
        (f32.demote_f64 (f64.mul (f64.sqrt (f64.convert_i32_s (local.get $squares))) (f64.const 1.000001))))
      (if (i32.eq (local.get $to) (local.get $bytes))
        (then
          (local.set $at (local.get $first))
          (local.set $to (local.get $half))
          (local.set $place (i32.sub (local.get $place) (i32.const 4)))
          (br $part)))))

  ;; Offered, if there is a row at all.
  (func $take (param $score f32) (param $scale f32) (param $slot i32) (param $size i32) (param $count i32) (result i32)
    (if (result i32) (f32.eq (local.get $scale) (f32.const 0))
      (then (local.get $size))
      (else (call $offer (local.get $score) (local.get $slot) (local.get $size) (local.get $count)))))

  ;; One row into the heap, if it is good enough.
  (func $look (param $row i32) (param $slot i32) (param $bytes i32) (param $stride i32)
              (param $size i32) (param $count i32) (result i32)
    (local $scale f32)
    (local.set $scale (f32.load (i32.sub (i32.add (local.get $row) (local.get $stride)) (i32.const 4))))
    (call $take
      (f32.mul (f32.convert_i32_s (call $dot (local.get $row) (local.get $bytes))) (local.get $scale))
      (local.get $scale) (local.get $slot) (local.get $size) (local.get $count)))

  ;; `rows` rows beginning at the address `row`, the first of which has the slot `slot`.
  (func (export "scan") (param $row i32) (param $rows i32) (param $slot i32)
                        (param $bytes i32) (param $stride i32) (param $size i32) (param $count i32)
                        (param $first i32) (param $half i32) (param $length f32) (param $length2 f32) (result i32)
    (local $row1 i32) (local $row2 i32) (local $row3 i32) (local $last i32)
    (local $scores v128) (local $bar f32)
    (local.set $bar (call $bar (local.get $size) (local.get $count)))
    ;; Four rows for one reading of the query.
    (block $few
      (loop $four
        (br_if $few (i32.lt_u (local.get $rows) (i32.const 4)))
        (local.set $row1 (i32.add (local.get $row) (local.get $stride)))
        (local.set $row2 (i32.add (local.get $row1) (local.get $stride)))
        (local.set $row3 (i32.add (local.get $row2) (local.get $stride)))
        (local.set $last (i32.sub (i32.add (local.get $row3) (local.get $stride)) (i32.const 4)))
        (local.set $scores (call $scores (local.get $row) (local.get $row1) (local.get $row2) (local.get $row3)
          (i32.sub (local.get $stride) (i32.const 4)) (local.get $first) (local.get $half) (local.get $bytes)
          (local.get $length) (local.get $length2) (local.get $bar)))
        (if (v128.any_true (f32x4.gt (local.get $scores) (f32x4.splat (local.get $bar))))
          (then
            (if (f32.gt (f32x4.extract_lane 0 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 0 (local.get $scores)) (f32.load (i32.sub (local.get $row1) (i32.const 4))) (local.get $slot) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.gt (f32x4.extract_lane 1 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 1 (local.get $scores)) (f32.load (i32.sub (local.get $row2) (i32.const 4))) (i32.add (local.get $slot) (i32.const 1)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.gt (f32x4.extract_lane 2 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 2 (local.get $scores)) (f32.load (i32.sub (local.get $row3) (i32.const 4))) (i32.add (local.get $slot) (i32.const 2)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.gt (f32x4.extract_lane 3 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 3 (local.get $scores)) (f32.load (local.get $last)) (i32.add (local.get $slot) (i32.const 3)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))))
        (local.set $row (i32.add (local.get $row3) (local.get $stride)))
        (local.set $slot (i32.add (local.get $slot) (i32.const 4)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 4)))
        (br $four)))
    (block $done
      (loop $one
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $size (call $look (local.get $row) (local.get $slot)
          (local.get $bytes) (local.get $stride) (local.get $size) (local.get $count)))
        (local.set $row (i32.add (local.get $row) (local.get $stride)))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $one)))
    (local.get $size))

  ;; The first `rows` rows of the list, which holds slots; `base` is where the row of slot 0 would begin.
  (func (export "pick") (param $base i32) (param $rows i32)
                        (param $bytes i32) (param $stride i32) (param $size i32) (param $count i32)
                        (param $first i32) (param $half i32) (param $length f32) (param $length2 f32) (result i32)
    (local $at i32) (local $end i32) (local $slot i32) (local $tail i32) (local $bar f32) (local $scores v128)
    (local $row i32) (local $row1 i32) (local $row2 i32) (local $row3 i32)
    (local.set $at (i32.const 40960))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $bar (call $bar (local.get $size) (local.get $count)))
    (local.set $tail (i32.sub (local.get $stride) (i32.const 4)))
    ;; Four rows at a time: they lie anywhere, and are waited for together.
    (block $few
      (loop $four
        (br_if $few (i32.gt_u (i32.add (local.get $at) (i32.const 16)) (local.get $end)))
        (local.set $row (i32.add (local.get $base) (i32.mul (i32.load (local.get $at)) (local.get $stride))))
        (local.set $row1 (i32.add (local.get $base) (i32.mul (i32.load offset=4 (local.get $at)) (local.get $stride))))
        (local.set $row2 (i32.add (local.get $base) (i32.mul (i32.load offset=8 (local.get $at)) (local.get $stride))))
        (local.set $row3 (i32.add (local.get $base) (i32.mul (i32.load offset=12 (local.get $at)) (local.get $stride))))
        (local.set $scores (call $scores (local.get $row) (local.get $row1) (local.get $row2) (local.get $row3)
          (local.get $tail) (local.get $first) (local.get $half) (local.get $bytes)
          (local.get $length) (local.get $length2) (local.get $bar)))
        ;; As good as the bar may be better: what is picked has not always a higher slot than what is there.
        (if (v128.any_true (f32x4.ge (local.get $scores) (f32x4.splat (local.get $bar))))
          (then
            (if (f32.ge (f32x4.extract_lane 0 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 0 (local.get $scores)) (f32.load (i32.add (local.get $row) (local.get $tail))) (i32.load (local.get $at)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.ge (f32x4.extract_lane 1 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 1 (local.get $scores)) (f32.load (i32.add (local.get $row1) (local.get $tail))) (i32.load offset=4 (local.get $at)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.ge (f32x4.extract_lane 2 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 2 (local.get $scores)) (f32.load (i32.add (local.get $row2) (local.get $tail))) (i32.load offset=8 (local.get $at)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))
            (if (f32.ge (f32x4.extract_lane 3 (local.get $scores)) (local.get $bar))
              (then
                (local.set $size (call $take (f32x4.extract_lane 3 (local.get $scores)) (f32.load (i32.add (local.get $row3) (local.get $tail))) (i32.load offset=12 (local.get $at)) (local.get $size) (local.get $count)))
                (local.set $bar (call $bar (local.get $size) (local.get $count)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $four)))
    (block $done
      (loop $one
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $slot (i32.load (local.get $at)))
        (local.set $size (call $look
          (i32.add (local.get $base) (i32.mul (local.get $slot) (local.get $stride)))
          (local.get $slot) (local.get $bytes) (local.get $stride) (local.get $size) (local.get $count)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $one)))
    (local.get $size))

  ;; The dot product of `bytes` of f32 at `vector` with as many f64 at `wanted`, by the length of the first; in f64. `bytes` is a multiple of 16.
  (func (export "cosine") (param $wanted i32) (param $vector i32) (param $bytes i32) (result f64)
    (local $end i32) (local $four v128) (local $low v128) (local $high v128)
    (local $dot v128) (local $dot1 v128) (local $square v128) (local $square1 v128)
    (local.set $end (i32.add (local.get $vector) (local.get $bytes)))
    (loop $more
      (local.set $four (v128.load (local.get $vector)))
      (local.set $low (f64x2.promote_low_f32x4 (local.get $four)))
      (local.set $high (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $four) (local.get $four))))
      (local.set $dot (f64x2.add (local.get $dot) (f64x2.mul (local.get $low) (v128.load (local.get $wanted)))))
      (local.set $dot1 (f64x2.add (local.get $dot1) (f64x2.mul (local.get $high) (v128.load offset=16 (local.get $wanted)))))
      (local.set $square (f64x2.add (local.get $square) (f64x2.mul (local.get $low) (local.get $low))))
      (local.set $square1 (f64x2.add (local.get $square1) (f64x2.mul (local.get $high) (local.get $high))))
      (local.set $wanted (i32.add (local.get $wanted) (i32.const 32)))
      (local.set $vector (i32.add (local.get $vector) (i32.const 16)))
      (br_if $more (i32.lt_u (local.get $vector) (local.get $end))))
    (local.set $dot (f64x2.add (local.get $dot) (local.get $dot1)))
    (local.set $square (f64x2.add (local.get $square) (local.get $square1)))
    (f64.div
      (f64.add (f64x2.extract_lane 0 (local.get $dot)) (f64x2.extract_lane 1 (local.get $dot)))
      (f64.sqrt (f64.add (f64x2.extract_lane 0 (local.get $square)) (f64x2.extract_lane 1 (local.get $square))))))

  ;; The f32 from `vector` up to `end` as bytes at `values`, the largest as 127. Answers the scale that makes them a vector of length 1, or 0 for
  ;; what has no direction: only zeros, or a number that is not finite. `end` is a multiple of 64 behind `vector`.
  (func (export "quantise") (param $vector i32) (param $end i32) (param $values i32) (result f32)
    (local $at i32) (local $most v128) (local $most1 v128) (local $largest f32) (local $factor v128)
    (local $bits v128) (local $rounding v128) (local $low v128) (local $high v128) (local $squares v128)
    (local.set $bits (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $at (local.get $vector))
    ;; Without their signs floats are in the order of their bits; behind infinity come those that are no numbers.
    (loop $more
      (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $bits) (v128.load (local.get $at)))))
      (local.set $most1 (i32x4.max_s (local.get $most1) (v128.and (local.get $bits) (v128.load offset=16 (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
    (local.set $most (i32x4.max_s (local.get $most) (local.get $most1)))
    (local.set $most (i32x4.max_s (local.get $most)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $most) (local.get $most))))
    (local.set $most (i32x4.max_s (local.get $most)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $most) (local.get $most))))
    (local.set $largest (f32x4.extract_lane 0 (local.get $most)))
    (if (i32.eqz (i32.and
          (f32.gt (local.get $largest) (f32.const 0))
          (f32.lt (local.get $largest) (f32.const inf))))
      (then (return (f32.const 0))))
    (local.set $factor (f64x2.splat (f64.div (f64.const 127) (f64.promote_f32 (local.get $largest)))))
    ;; Added to a number it leaves no bits for less than one, and the lower half of the f64 is the whole number.
    (local.set $rounding (f64x2.splat (f64.const 6755399441055744)))
    (local.set $at (local.get $vector))
    (loop $more
      (local.set $low (i16x8.narrow_i32x4_s
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $at))) (local.get $factor)) (local.get $rounding))
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $at))) (local.get $factor)) (local.get $rounding)))
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=16 (local.get $at))) (local.get $factor)) (local.get $rounding))
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=24 (local.get $at))) (local.get $factor)) (local.get $rounding)))))
      (local.set $high (i16x8.narrow_i32x4_s
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=32 (local.get $at))) (local.get $factor)) (local.get $rounding))
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=40 (local.get $at))) (local.get $factor)) (local.get $rounding)))
        (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=48 (local.get $at))) (local.get $factor)) (local.get $rounding))
          (f64x2.add (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=56 (local.get $at))) (local.get $factor)) (local.get $rounding)))))
      (local.set $squares (i32x4.add (local.get $squares) (i32x4.add
        (i32x4.dot_i16x8_s (local.get $low) (local.get $low))
        (i32x4.dot_i16x8_s (local.get $high) (local.get $high)))))
      (v128.store (local.get $values) (i8x16.narrow_i16x8_s (local.get $low) (local.get $high)))
      (local.set $values (i32.add (local.get $values) (i32.const 16)))
      (local.set $at (i32.add (local.get $at) (i32.const 64)))
      (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
    (f32.demote_f64 (f64.div (f64.const 1) (f64.sqrt (f64.convert_i32_s (call $sum (local.get $squares)))))))
)
