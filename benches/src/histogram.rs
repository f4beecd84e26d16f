//! Latencies in buckets that are 1.6 % wide: adding one costs nothing to speak of.

const STEPS: u64 = 64;

/// Counts of microseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 * STEPS as usize], total: 0, max: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        self.counts[Self::bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The value below which this part of all lies, in milliseconds; 0 when there is none.
    pub(crate) fn quantile_ms(&self, part: f64) -> f64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return round(Self::upper(bucket as u64).min(self.max) as f64 / 1_000.0);
            }
        }
        0.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        round(self.max as f64 / 1_000.0)
    }

    fn bucket(micros: u64) -> usize {
        if micros < STEPS {
            return micros as usize;
        }
        // The highest bit picks the row, the six below it the place in the row.
        let row = u64::from(micros.ilog2()) - 5;
        (row * STEPS + ((micros >> (row - 1)) - STEPS)) as usize
    }

    fn upper(bucket: u64) -> u64 {
        match bucket / STEPS {
            0 => bucket,
            row => ((bucket % STEPS + STEPS + 1) << (row - 1)) - 1,
        }
    }
}

/// Three decimals are all that is ever read.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_bucket_off() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|micros| histogram.add(micros));
        for (part, ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = histogram.quantile_ms(part);
            assert!((found - ms).abs() <= ms * 0.016, "{part}: {found}");
        }
        assert_eq!(histogram.max_ms(), 100.0);
        assert_eq!(Histogram::default().quantile_ms(0.99), 0.0);
    }

    #[test]
    fn every_value_lies_within_its_bucket() {
        for micros in (0..5_000).chain([1 << 20, (1 << 20) - 1, u64::from(u32::MAX)]) {
            let upper = Histogram::upper(Histogram::bucket(micros) as u64);
            assert!(upper >= micros && upper as f64 <= micros as f64 * 1.016 + 1.0, "{micros}: {upper}");
        }
    }
}
