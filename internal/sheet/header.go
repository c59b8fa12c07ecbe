package sheet

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// levelMark is the header behind which every column is a folder level.
const levelMark = "<|>"

// poNames are the headers of the column of PO numbers, folded, best first.
var poNames = rank(
	"ponumber", "po", "pono", "ponr", "ponum", "nopo", "npo", "purchaseordernumber", "purchaseorderno", "purchaseorder",
	"purchaseorderid", "ordernumber", "orderno", "orderheader",
	"numerodopedido", "numeropedido", "ndopedido", "npedido", "nopedido", "nodopedido", "numpedido", "pedidodecompra", "pedido",
	"ordemdecompra", "ordendecompra", "numerodeorden", "numerodepedido", "noordendecompra", "oc",
	"bestellnummer", "bestellnr", "bestellung", "einkaufsbeleg", "einkaufsbelegnummer",
	"numerodecommande", "ncommande", "nocommande", "bondecommande", "commande",
	"numeroordine", "ordinedacquisto", "numerodordine", "ordine",
	"inkoopordernummer", "inkooporder", "bestelnummer", "ordernummer",
	"numerzamowienia", "zamowienie", "siparisno",
	"purchasingdocument", "purchdoc", "purchasingdocumentnumber", "ebeln", // SAP
	"采购订单号", "采购订单", "订单号", "発注番号", "注文番号",
)

// supplierNames are the headers of the column that names the supplier, folded, best first.
var supplierNames = rank(
	"supplier", "suppliername", "vendor", "vendorname", "fornecedor", "nomedofornecedor", "nomefornecedor", "razaosocial",
	"proveedor", "nombredelproveedor", "nombreproveedor", "lieferant", "lieferantenname", "kreditor", "fournisseur",
	"nomdufournisseur", "nomfournisseur", "fornitore", "leverancier", "naamleverancier", "dostawca", "tedarikci",
	"供应商", "仕入先",
	"legalentity", "companycode", "empresa",
)

func rank(names ...string) map[string]int {
	ranks := make(map[string]int, len(names))
	for i, name := range names {
		ranks[name] = i + 1
	}
	return ranks
}

// fold reduces a header to its letters and digits, in lower case and without accents: "Nº do Pedido" is "nodopedido".
func fold(header string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'ł' || r == 'Ł':
			return 'l'
		case r == 'ı': // the Turkish i without a dot
			return 'i'
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKD.String(header))
}

// columnLetter names a column as spreadsheets do: A, B, …, Z, AA.
func columnLetter(i int) string {
	var letters []byte
	for i++; i > 0; i = (i - 1) / 26 {
		letters = append([]byte{byte('A' + (i-1)%26)}, letters...)
	}
	return string(letters)
}

// columnIndex reads a column's letter or number (from 1); -1 when it is neither.
func columnIndex(name string) int {
	n, letters, digits := 0, 0, 0
	for _, r := range strings.ToUpper(strings.TrimSpace(name)) {
		switch {
		case r >= 'A' && r <= 'Z':
			n, letters = n*26+int(r-'A')+1, letters+1
		case r >= '0' && r <= '9':
			n, digits = n*10+int(r-'0'), digits+1
		default:
			return -1
		}
		if n > maxColumns {
			return -1
		}
	}
	if letters > 0 && digits > 0 {
		return -1
	}
	return n - 1
}
