import { useState } from 'react';
import { Pressable, ScrollView, Share, StyleSheet, Text, View } from 'react-native';
import { runBenchmark, type BenchmarkOptions, type BenchmarkResult, type Figure } from './benchmark';

interface Props extends Omit<BenchmarkOptions, 'onStep'> {
  /** Gets the figures; without it they can be shared as JSON. */
  onResult?: (result: BenchmarkResult) => void;
}

const TITLES: Record<Figure['name'], string> = {
  load: '모델 로딩',
  report: '리포트 생성',
  app: '앱 크기',
  memory: '메모리 사용',
};
const VERDICTS: Record<Figure['verdict'], string> = { kept: '충족', broken: '초과', 'not measured': '측정 안 됨' };
const STEPS: Record<string, string> = { load: '모델을 불러오는 중…', write: '리포트를 쓰는 중…' };

/** A screen for testers: one button, the four targets, and the figures as JSON. */
export function BenchmarkScreen({ onResult, ...options }: Props) {
  const [step, setStep] = useState('');
  const [result, setResult] = useState<BenchmarkResult | null>(null);
  const [error, setError] = useState('');

  async function measure() {
    setError('');
    setResult(null);
    try {
      const measured = await runBenchmark({ ...options, onStep: setStep });
      setResult(measured);
      onResult?.(measured);
    } catch (problem) {
      setError(problem instanceof Error ? problem.message : String(problem));
    } finally {
      setStep('');
    }
  }

  return (
    <ScrollView contentContainerStyle={styles.page}>
      <Pressable accessibilityRole="button" disabled={step !== ''} onPress={() => void measure()} style={styles.button}>
        <Text style={styles.label}>{step ? (STEPS[step] ?? step) : '측정 시작'}</Text>
      </Pressable>
      {error !== '' && <Text accessibilityRole="alert">{error}</Text>}
      {result?.figures.map((figure) => (
        <View key={figure.name} style={styles.row}>
          <Text>{TITLES[figure.name]}</Text>
          <Text>{`${written(figure.value, figure.unit)} / ${written(figure.limit, figure.unit)}`}</Text>
          <Text>{`${VERDICTS[figure.verdict]} (${figure.how})`}</Text>
        </View>
      ))}
      {result && (
        <Pressable
          accessibilityRole="button"
          onPress={() => void Share.share({ message: JSON.stringify(result, null, 2) })}
          style={styles.button}
        >
          <Text style={styles.label}>JSON 공유</Text>
        </Pressable>
      )}
    </ScrollView>
  );
}

function written(value: number | null, unit: Figure['unit']): string {
  if (value === null) return '–';
  return unit === 'bytes' ? `${(value / 1e9).toFixed(2)} GB` : `${value.toFixed(1)} s`;
}

const styles = StyleSheet.create({
  page: { padding: 24, gap: 16 },
  button: { padding: 16, borderRadius: 12, backgroundColor: '#1f4fd8' },
  label: { color: '#ffffff', textAlign: 'center' },
  row: { gap: 4 },
});
